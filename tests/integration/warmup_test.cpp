// Workers that run a tool before they get calls.

#include "support/pool_fixture.hpp"

#include <fmt/format.h>
#include <csignal>
#include <fstream>

namespace snakepit::test {
namespace {

class Warmup : public PoolTest, public testing::WithParamInterface<start_method> {
protected:
    /// `warm` does what `body` says, and every call notes the process in its file.
    pool_options warming(const std::string& body, const std::string& warmup = "warm") {
        auto how = module_of(R"(
import os, time, snakepit
def note(file):
    with open(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/' + file, 'a') as f: f.write(f"{os.getpid()}\n")
ballast = []
@snakepit.tool
def warm():
    note('warm')
    )" + body + R"(
@snakepit.tool
def ask():
    note('asked')
    return [os.getpid(), [int(line) for line in open(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/warm')]]
@snakepit.tool
def echo(value): return value
)");
        how.warmup = warmup;
        how.start_method = GetParam();
        how.restart_backoff = {5ms, 50ms};
        return how;
    }
    static bool is_warm(const value& said) {
        const auto warm = said.at(1).get<std::vector<int>>();
        return std::count(warm.begin(), warm.end(), said.at(0).get<int>()) == 1;
    }
    [[nodiscard]] std::size_t warmed() const { return line_count(scratch().path() / "warm"); }
    error failure_of(const pool_options& how) {
        std::optional<error> why;
        run([&]() -> awaitable<> {
            pool p(io->get_executor(), how);
            const auto up = co_await p.start();
            CO_ASSERT(!up);
            why = up.error();
        });
        return why.value_or(error(errc::cancelled, "no failure at all"));
    }
    static void expect_words(const error& e, errc code, std::initializer_list<const char*> words) {
        EXPECT_EQ(e.code(), code) << e.full();
        for (const auto* w : words) EXPECT_NE(e.full().find(w), std::string::npos) << '"' << w << "\": " << e.full();
    }
};
INSTANTIATE_TEST_SUITE_P(Method, Warmup, testing::Values(start_method::fork, start_method::spawn),
                         [](const auto& method) { return method.param == start_method::fork ? "Fork" : "Spawn"; });

TEST_P(Warmup, IsOverInEveryWorkerBeforeItsFirstCall) {
    auto how = warming("time.sleep(0.05)");
    how.workers.min = 3;
    with_pool(how, [this](pool& p) -> awaitable<> {
        EXPECT_EQ(warmed(), 3u);
        const auto nothing = value::array();
        const auto ask = [&]() -> awaitable<> {
            const auto said = co_await p.execute("ask", nothing);
            CO_ASSERT_OK(said);
            EXPECT_TRUE(is_warm(*said)) << said->dump();
        };
        co_await ask();
        ::kill(p.stats().workers[0].pid, SIGKILL);
        const std::function<bool()> again = [&] {
            return p.stats().workers[0].incarnation == 2 && p.stats().workers[0].state == worker_state::ready;
        };
        CO_ASSERT(co_await comes_true(again));
        EXPECT_EQ(warmed(), 4u) << "started again";
        co_await ask();
        CO_ASSERT_OK(co_await p.recycle("w1"));
        EXPECT_EQ(warmed(), 5u) << "the successor";
        CO_ASSERT_OK(co_await p.recycle_all());
        EXPECT_EQ(warmed(), 8u);
        for (int i = 0; i < 6; ++i) co_await ask();
    });
}

TEST_P(Warmup, OfTheSuccessorIsOverBeforeThePredecessorGoes) {
    auto how = warming("while os.path.exists(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/wait'): time.sleep(0.002)");
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto old = p.stats().workers[0].pid;
        scratch().write("wait", "");
        std::optional<result<void>> recycled;
        async_recycle(p, "w0", [&](result<void> r) { recycled = std::move(r); });
        const std::function<bool()> warming_up = [&] { return warmed() == 2; };
        CO_ASSERT(co_await comes_true(warming_up));
        const auto nothing = value::array();
        for (int i = 0; i < 20; ++i) {
            const auto said = co_await p.execute("ask", nothing);
            CO_ASSERT_OK(said);
            EXPECT_EQ(said->at(0), old) << "it serves all the while";
        }
        EXPECT_FALSE(recycled);
        fs::remove(scratch().path() / "wait");
        const std::function<bool()> done = [&] { return recycled.has_value(); };
        CO_ASSERT(co_await comes_true(done));
        EXPECT_OK(*recycled);
        const auto said = co_await p.execute("ask", nothing);
        CO_ASSERT_OK(said);
        EXPECT_NE(said->at(0), old);
        EXPECT_TRUE(is_warm(*said));
    });
}

TEST_P(Warmup, ThatFailsIsTheStartsFailure) {
    const auto e = failure_of(warming("raise ValueError('no model')"));
    expect_words(e, errc::module_failed, {"warmup", "ValueError", "no model", "in warm"});
    ASSERT_TRUE(e.python());
    EXPECT_EQ(e.python()->type, "ValueError");
    expect_words(failure_of(warming("os._exit(3)")), errc::module_failed, {"exit code 3"});
    expect_words(failure_of(warming("raise SystemExit(0)")), errc::module_failed, {"warmup", "SystemExit"});
}

TEST_P(Warmup, ThatTakesTooLongIsATimeout) {
    auto how = warming("time.sleep(600)");
    how.start_timeout = 1'500ms;
    expect_words(failure_of(how), errc::start_timeout, {"1500 ms", "warming it up", "in warm"});
}

TEST_P(Warmup, HasToBeAToolWithoutArguments) {
    expect_words(failure_of(warming("pass", "warn")), errc::invalid_options,
                 {"warmup is 'warn'", "no such tool", "did you mean warm?"});
    expect_words(failure_of(warming("pass", "quite_another")), errc::invalid_options, {"there are: ask, echo, warm"});
    expect_words(failure_of(warming("pass", "echo")), errc::invalid_options,
                 {"warmup is 'echo'", "without arguments", "missing argument 'value'"});
    EXPECT_EQ(warmed(), 0u);
}

TEST_P(Warmup, ThatAReplacementFailsLeavesTheOldWorker) {
    with_pool(warming("if os.path.exists(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/fail'): raise OSError('no luck')"),
              [this](pool& p) -> awaitable<> {
                  const auto old = p.stats().workers[0].pid;
                  scratch().write("fail", "");
                  EXPECT_TRUE(failed_saying(co_await p.recycle("w0"), errc::module_failed, "warmup", "no luck"));
                  EXPECT_EQ(p.stats().workers[0].pid, old);
                  const auto one = list(1);
                  EXPECT_OK(co_await p.execute("echo", one));
              });
}

TEST_P(Warmup, IsWhatLimitsOfMemoryCountFrom) {
    const auto* fat = "ballast.append(b'x' * (100 << 20))";
    auto how = warming(fat);
    how.lifecycle.max_memory_growth_bytes = 50 << 20;
    how.heartbeat.interval = 20ms;
    how.heartbeat.initial_delay = 0ms;
    with_pool(how, [](pool& p) -> awaitable<> {
        const auto pid = p.stats().workers[0].pid;
        const std::function<bool()> known = [&] {
            return p.stats().workers[0].heartbeat.resident_bytes > (100u << 20);
        };
        CO_ASSERT(co_await comes_true(known));
        co_await wait_for(200ms);  // ten heartbeats
        EXPECT_EQ(p.stats().workers[0].pid, pid) << "what it has loaded is no growth";
    });
    how.lifecycle.max_memory_bytes = 100 << 20;
    expect_words(failure_of(how), errc::invalid_options, {"max_memory_bytes is 104857600", "has 1"});
}

}  // namespace
}  // namespace snakepit::test
