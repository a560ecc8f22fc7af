// Memory, threads and descriptors of host and workers stay as they are, however many calls there were. (C52, C53)

#include "support/pool_fixture.hpp"

#include <unistd.h>
#include <cstdlib>
#include <sstream>

namespace snakepit::test {
namespace {

constexpr int calls = slow == 1 ? 1'000'000 : 100'000;
constexpr int at_once = 256;

struct footprint {
    std::vector<std::uint64_t> resident_kib;  // the host's, then each worker's
    std::vector<std::size_t> threads;
    std::vector<std::size_t> descriptors;
};

std::uint64_t number_in_status(int pid, const std::string& key) {
    std::istringstream status(file_text("/proc/" + std::to_string(pid) + "/status"));
    for (std::string word; status >> word;)
        if (std::uint64_t number = 0; word == key + ":" && status >> number) return number;
    return 0;
}

footprint footprint_of(const pool& p) {
    footprint now;
    const auto add = [&](int pid) {
        now.resident_kib.push_back(number_in_status(pid, "VmRSS"));
        now.threads.push_back(number_in_status(pid, "Threads"));
        now.descriptors.push_back(descriptors_of(pid).size());
    };
    add(::getpid());
    for (const auto& w : p.stats().workers) add(w.pid);
    return now;
}

void expect_flat(const footprint& early, const footprint& late) {
    constexpr std::size_t laid_on = 4;  // threads of gRPC's, each with a descriptor, that it first needs under load
    for (std::size_t i = 0; i < late.threads.size(); ++i) {
        EXPECT_LE(late.threads[i], early.threads[i] + laid_on) << i;
        EXPECT_LE(late.descriptors[i], early.descriptors[i] + laid_on) << i;
    }
    constexpr std::uint64_t noise_kib = 4 << 10;
    // AddressSanitizer keeps what was freed, and looks for leaks itself: but not in workers.
    for (std::size_t i = slow == 1 ? 0 : 1; i < late.resident_kib.size(); ++i)
        EXPECT_LE(late.resident_kib[i], early.resident_kib[i] + noise_kib) << i;
}

TEST_F(PoolTest, AMillionFailuresLeaveNothingBehind) {
    with_pool(
        options("raisers"),
        [](pool& p) -> awaitable<> {
            int begun = 0;
            int open = 0;
            std::map<errc, int> failures;
            std::function<void()> begin_one;
            // Few with a long traceback: one takes Python as long as ten others.
            const value with_causes = list("chain");
            const value in_c = list("type_error");
            const value never_run = list("no", "such", "signature");
            begin_one = [&] {
                const auto i = begun++ % 16;
                ++open;
                const auto& how = i == 0 ? with_causes : i < 4 ? in_c : never_run;
                async_execute(p, "fail", how, call_options(), [&](const result<value>& r) {
                    --open;
                    if (!r) ++failures[static_cast<errc>(r.error().code().value())];
                    if (begun < calls) begin_one();
                });
            };
            for (int i = 0; i < at_once; ++i) begin_one();
            CO_ASSERT(co_await comes_true([&] { return begun >= calls / 4; }, 120s));
            const auto early = footprint_of(p);
            CO_ASSERT(co_await comes_true([&] { return open == 0; }, 240s));
            const auto late = footprint_of(p);

            EXPECT_EQ(failures[errc::tool_raised], calls / 4);
            EXPECT_EQ(failures[errc::bad_arguments], calls - calls / 4);
            expect_flat(early, late);
            EXPECT_EQ(p.stats().failed, static_cast<std::uint64_t>(calls));
        },
        400s);
}

/// `./dev soak` sets for how long.
std::chrono::seconds soak_time() {
    const char* asked = std::getenv("SNAKEPIT_SOAK_SECONDS");
    return asked ? std::chrono::seconds(std::stoi(asked)) : 10s;
}

TEST_F(PoolTest, HoursOfCallsLeaveNothingBehind) {
    auto how = options("everyday");
    how.heartbeat.interval = 50ms;
    with_pool(
        how,
        [](pool& p) -> awaitable<> {
            std::uint64_t begun = 0;
            bool over = false;
            int open = 0;
            std::function<void()> begin_one;
            const value small = list("small");
            const value large = list(std::string(300'000, 'x'));  // in pieces
            const value nap = list(0.002);
            begin_one = [&] {
                const auto i = ++begun % 256;
                const auto options = i % 8 == 0 ? call_options().timeout(1ms) : call_options();
                ++open;
                async_execute(p, i % 32 == 0 ? "sleep" : "echo",
                              i % 32 == 0 ? nap
                              : i == 1    ? large
                                          : small,
                              options, [&](const result<value>&) {
                                  --open;
                                  if (!over) begin_one();
                              });
            };
            for (int i = 0; i < at_once; ++i) begin_one();
            co_await wait_for(std::max<std::chrono::milliseconds>(soak_time() / 4, 3s));
            const auto early = footprint_of(p);
            co_await wait_for(soak_time());
            const auto late = footprint_of(p);
            over = true;
            CO_ASSERT(co_await comes_true([&] { return open == 0; }));
            expect_flat(early, late);
            EXPECT_GT(p.stats().expired, 0u);
        },
        soak_time() * 2 + 60s);
}

}  // namespace
}  // namespace snakepit::test
