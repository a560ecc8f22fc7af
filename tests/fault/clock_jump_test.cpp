// The machine's wall clock is set while a pool runs, as by somebody or by NTP: nothing of ours goes by it. (C50)

#include "support/host_process.hpp"

#include <cstdlib>
#include <ctime>
#include <fstream>

namespace snakepit::test {
namespace {

class ClockJump : public HostTest {
protected:
    /// Of the host that will be, and all that it starts.
    void set_clock(std::chrono::seconds off) const {
        const std::int64_t number = off.count();
        std::fstream to(clock_file(), std::ios::in | std::ios::out | std::ios::binary);
        to.write(reinterpret_cast<const char*>(&number), sizeof number);
    }
    [[nodiscard]] host_process::config with_clock(const std::string& method) const {
        scratch().write("clock", std::string(8, '\0'));
        scratch().write("held", "");
        auto how = config(2, method);
        how.fast_pulse = true;
        how.environment = {std::string("LD_PRELOAD=") + std::getenv("SNAKEPIT_JUMPING_CLOCK_LIBRARY"),
                           "SNAKEPIT_JUMPING_CLOCK=" + clock_file().string()};
        return how;
    }
    /// A call of `rest` that has begun.
    void rest(host_process& host, std::chrono::milliseconds deadline, const char* seconds) {
        const auto before = rests();
        host.tell("call-within " + std::to_string(deadline.count()) + " rest [" + seconds + "]");
        EXPECT_TRUE(eventually([&] { return rests() > before; }));
    }

private:
    [[nodiscard]] fs::path clock_file() const { return scratch().path() / "clock"; }
    [[nodiscard]] std::size_t rests() const { return line_count(scratch().path() / "held"); }
};

TEST_F(ClockJump, ByAnHourEitherWayExpiresNothingAndCostsNoWorker) {
    if (slow != 1) GTEST_SKIP() << "the sanitizer's library has to be the first that is loaded";
    for (const auto* method : {"fork", "spawn"}) {
        SCOPED_TRACE(method);
        host_process host(with_clock(method));
        ASSERT_EQ(host.hear("start: "), "ok");
        const auto before = host.workers();
        std::chrono::seconds set = 0s;
        for (const std::chrono::seconds to : {1h, -1h}) {
            SCOPED_TRACE(to.count());
            rest(host, 10s, "1.2");  // six heartbeats
            set_clock(to);
            host.tell("call-within 5000 echo [1]");
            EXPECT_EQ(host.hear("echo: "), "1");
            const auto times = value::parse(host.hear("rest: "), nullptr, false);
            ASSERT_TRUE(times.is_array()) << times.dump();
            const auto jumped = std::chrono::duration<double>(to - set).count();
            EXPECT_NEAR(times.at(1).get<double>() - times.at(0).get<double>(), jumped + 1.2, 5) << "no jump, no test";
            host.tell("time");
            EXPECT_NEAR(std::stod(host.hear("time: ")), static_cast<double>(std::time(nullptr) + to.count()), 5);
            set = to;
        }
        EXPECT_EQ(host.workers(), before);
        host.tell("stop");
        EXPECT_EQ(host.hear("stop: "), "ok");
    }
}

TEST_F(ClockJump, BackHoldsUpNoDeadlineNorRestart) {
    if (slow != 1) GTEST_SKIP() << "the sanitizer's library has to be the first that is loaded";
    host_process host(with_clock("fork"));
    ASSERT_EQ(host.hear("start: "), "ok");
    rest(host, 500ms, "60");
    set_clock(-1h);
    EXPECT_NE(host.hear("rest: ", 5s).find("deadline"), std::string::npos);
    const auto before = host.workers();
    watched_process(before[0].first).kill(SIGKILL);
    EXPECT_TRUE(eventually([&] { return host.workers()[0].second == before[0].second + 1; }));
    for (int i = 0; i < 4; ++i) {
        host.tell("call-within 5000 echo [1]");
        EXPECT_EQ(host.hear("echo: "), "1");
    }
    host.tell("stop");
    EXPECT_EQ(host.hear("stop: "), "ok");
}

}  // namespace
}  // namespace snakepit::test
