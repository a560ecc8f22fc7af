// What tools have started and left goes with their worker, wherever it has gone. (C1, C10)

#include "support/host_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <csignal>
#include <fstream>

namespace snakepit::test {
namespace {

class Strays : public PoolTest, public testing::WithParamInterface<start_method> {
protected:
    [[nodiscard]] pool_options littering(int workers = 2) const {
        auto how = options("strays");
        how.workers.min = workers;
        how.start_method = GetParam();
        how.calls_per_worker = 1;
        how.drain_timeout = 300ms;
        how.restart_backoff = {5ms, 50ms};
        return how;
    }
    /// The processes that have noted themselves, from the line `first` on, once there are `count` of them.
    awaitable<std::vector<watched_process>> held(std::size_t first, std::size_t count) const {
        const auto file = scratch().path() / "held";
        const std::function<bool()> complete = [&] { return line_count(file) >= first + count; };
        EXPECT_TRUE(co_await comes_true(complete, 10s * slow)) << file_text(file) << leftovers();
        std::vector<watched_process> found;
        std::ifstream in(file);
        std::size_t line = 0;
        for (int pid = 0; in >> pid; ++line)
            if (line >= first) found.emplace_back(pid);
        co_return found;
    }
    static awaitable<> gone(const std::vector<watched_process>& all) {
        const std::function<bool()> none = [&] { return survivors(all, 0s).empty(); };
        EXPECT_TRUE(co_await comes_true(none, 2s * slow)) << survivors(all, 0s);
    }
    /// Two workers that have littered; the first is busy, and is killed.
    awaitable<> kill_one_of_two(pool& p) const {
        std::optional<result<value>> lost;
        const auto nothing = value::array();
        async_execute(p, "hold", nothing, call_options(), [&](result<value> r) { lost = std::move(r); });
        const auto first = co_await held(0, 5);
        EXPECT_OK(co_await p.execute("litter", nothing));
        const auto second = co_await held(5, 4);
        for (const auto& w : p.stats().workers)
            if (w.state == worker_state::executing) ::kill(w.pid, SIGKILL);
        co_await gone(first);
        const std::function<bool()> told = [&] { return lost.has_value(); };
        CO_ASSERT(co_await comes_true(told));
        EXPECT_TRUE(failed_with(*lost, errc::worker_lost));
        // And nobody else's: not even what belongs to no process of the other worker any more.
        for (const auto& stray : second) EXPECT_FALSE(stray.is_gone()) << stray.pid();
        EXPECT_OK(co_await p.stop());
        co_await gone(second);
    }
    /// Whether a process is left of the tool `flee`, however short each of them lives.
    [[nodiscard]] bool are_fleeing() const {
        const detail::unique_fd file(::open((scratch().path() / "fleeing").c_str(), O_RDWR | O_CLOEXEC));
        return ::flock(file.get(), LOCK_EX | LOCK_NB) != 0;
    }
    static constexpr int many = 1'000;
};
INSTANTIATE_TEST_SUITE_P(Method, Strays, testing::Values(start_method::fork, start_method::spawn),
                         [](const auto& method) { return method.param == start_method::fork ? "Fork" : "Spawn"; });

TEST_P(Strays, GoWithTheirWorkerAndWithNobodyElse) {
    with_pool(littering(), [this](pool& p) { return kill_one_of_two(p); });
}

TEST_P(Strays, GoWithAWorkerWhoseLauncherWasKilledBefore) {
    with_pool(littering(), [this](pool& p) -> awaitable<> {
        const auto nothing = value::array();
        const auto launcher = co_await p.execute("parent", nothing);
        CO_ASSERT_OK(launcher);
        const watched_process killed(launcher->get<int>());
        killed.kill(SIGKILL);
        const std::function<bool()> dead = [&] { return killed.is_gone(); };
        CO_ASSERT(co_await comes_true(dead));
        EXPECT_OK(co_await p.execute("parent", nothing));
        co_await kill_one_of_two(p);
    });
}

TEST_P(Strays, AThousandGoWithTheirWorkerAndAtTheStop) {
    with_pool(
        littering(1),
        [this](pool& p) -> awaitable<> {
            const std::function<std::size_t()> here = [&] { return processes().size(); };
            const auto before = here();
            const auto count = list(many);
            CO_ASSERT_OK(co_await p.execute("grandchildren", count));
            EXPECT_EQ(here(), before + many);
            ::kill(p.stats().workers[0].pid, SIGKILL);
            const std::function<bool()> gone = [&] { return here() <= before; };
            EXPECT_TRUE(co_await comes_true(gone, 5s * slow)) << here() << " are left";
            const std::function<bool()> ready = [&] { return p.stats().workers[0].state == worker_state::ready; };
            CO_ASSERT(co_await comes_true(ready));
            CO_ASSERT_OK(co_await p.execute("grandchildren", count));
            const auto at = clock::now();
            EXPECT_OK(co_await p.stop());
            EXPECT_LT(clock::now() - at, 5s * slow);
        },
        60s * slow);
}

TEST_P(Strays, GoAlthoughTheyForkMeanwhile) {
    constexpr int count = 20;
    constexpr auto within = 2s * slow;
    for (const bool without_launcher : {false, true}) {
        SCOPED_TRACE(without_launcher);
        with_pool(littering(1), [&](pool& p) -> awaitable<> {
            const auto nothing = value::array();
            const auto launcher = co_await p.execute("parent", nothing);
            CO_ASSERT_OK(launcher);
            const auto arguments = list(count, std::chrono::duration<double>(5 * within).count());
            CO_ASSERT_OK(co_await p.execute("flee", arguments));
            EXPECT_TRUE(are_fleeing());
            if (without_launcher) ::kill(launcher->get<int>(), SIGKILL);
            ::kill(p.stats().workers[0].pid, SIGKILL);
            const std::function<bool()> gone = [&] { return !are_fleeing(); };
            EXPECT_TRUE(co_await comes_true(gone, within));
            EXPECT_OK(co_await p.execute("parent", nothing));
        });
    }
}

}  // namespace
}  // namespace snakepit::test
