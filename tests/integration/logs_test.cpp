// What workers print and log, as the application's log gets it.

#include "support/pool_fixture.hpp"

#include <snakepit/log.hpp>

#include <algorithm>
#include <mutex>
#include <vector>

namespace snakepit::test {
namespace {

const std::string trace_id = "0af7651916cd43dd8448eb211c80319c";

class Logs : public PoolTest {
protected:
    /// @param text  of the module, after what all of them have
    pool_options logged(const std::string& text) {
        auto how = module_of(
            "import logging, os, threading, time\nimport snakepit\nlog = logging.getLogger('shop')\n"
            "log.setLevel(logging.DEBUG)\nlog.addHandler(logging.NullHandler())\n" +
            text);
        how.workers = {1, 1};
        how.log.level = log_level::info;
        how.log.sink = [this](const log_record& r) {
            const std::lock_guard lock(mutex_);
            records_.push_back(r);
        };
        return how;
    }
    static std::string field(const log_record& r, const std::string& key) {
        for (const auto& [k, v] : r.fields)
            if (k == key) return v;
        return {};
    }
    /// The first one with that message; one without a message when there is none.
    [[nodiscard]] log_record record(const std::string& message) const {
        const std::lock_guard lock(mutex_);
        for (const auto& r : records_)
            if (r.message.find(message) != r.message.npos) return r;
        return {};
    }
    [[nodiscard]] std::size_t count_of(const std::string& message) const {
        const std::lock_guard lock(mutex_);
        return static_cast<std::size_t>(std::ranges::count_if(
            records_, [&](const log_record& r) { return r.message.find(message) != r.message.npos; }));
    }

    mutable std::mutex mutex_;
    std::vector<log_record> records_;
};

TEST_F(Logs, SayWhichCallHasWrittenThem) {
    const auto how = logged(R"(
@snakepit.tool
def speak():
    log.warning("a record", extra={"order": 7})
    print("a line")
    os.write(2, b"past Python\n")
)");
    with_pool(how, [this](pool& p) -> awaitable<> {
        p.set_log_level(log_level::debug);
        const auto options = call_options().traceparent("00-" + trace_id + "-b7ad6b7169203331-01");
        CO_ASSERT_OK(co_await p.execute("speak", value::array(), options));
        CO_ASSERT(co_await comes_true(
            [&] { return count_of("a record") == 1 && count_of("a line") == 1 && count_of("past Python") == 1; }));
        const auto logged = record("a record");
        EXPECT_EQ(logged.level, log_level::warning);
        EXPECT_EQ(logged.logger, "shop");
        EXPECT_EQ(field(logged, "order"), "7");
        for (const auto& r : {logged, record("a line")}) {
            EXPECT_EQ(field(r, "worker"), "w0");
            EXPECT_EQ(field(r, "call"), "1");
            EXPECT_EQ(field(r, "tool"), "speak");
            EXPECT_EQ(field(r, "trace_id"), trace_id);
        }
        EXPECT_EQ(field(record("past Python"), "worker"), "w0");
    });
}

TEST_F(Logs, HaveAllThatAWorkerSaysFromItsSetupToItsTeardown) {
    const auto how = logged(R"(
class Shop(snakepit.Adapter):
    def setup(self):
        log.warning("in setup")

    @snakepit.tool
    def speak(self):
        log.warning("the last call")

    def teardown(self):
        log.warning("in teardown")
)");
    with_pool(how, [](pool& p) -> awaitable<> { CO_ASSERT_OK(co_await p.execute("speak")); });
    for (const char* said : {"in setup", "the last call", "in teardown"}) EXPECT_EQ(count_of(said), 1u) << said;
}

TEST_F(Logs, FollowTheLevel) {
    const auto how = logged(R"(
@snakepit.tool
def speak(text):
    log.info("quiet " + text)
    log.error("loud " + text)
)");
    with_pool(how, [this](pool& p) -> awaitable<> {
        CO_ASSERT_OK(co_await p.execute("speak", "one"));
        CO_ASSERT(co_await comes_true([&] { return count_of("quiet one") == 1 && count_of("loud one") == 1; }));
        p.set_log_level(log_level::error);
        CO_ASSERT_OK(co_await p.recycle("w0"));  // the next one knows it from its start, whenever that was
        CO_ASSERT_OK(co_await p.execute("speak", "two"));
        CO_ASSERT(co_await comes_true([&] { return count_of("loud two") == 1; }));
        EXPECT_EQ(count_of("quiet two"), 0u);
        p.set_log_level(log_level::info);
        while (count_of("quiet three") == 0)
            CO_ASSERT_OK(co_await p.execute("speak", "three"));  // it hears of that soon
        p.set_log_level(log_level::off);
        CO_ASSERT_OK(co_await p.execute("speak", "nobody"));
    });
    EXPECT_EQ(count_of("nobody"), 0u);
}

TEST_F(Logs, KeepSecretsToThemselves) {
    const auto how = logged(R"(
@snakepit.tool
def speak():
    log.warning("login with password=hunter22", extra={"api_key": "sesame"})
    log.warning("key:\n-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\nend")
)");
    with_pool(how, [](pool& p) -> awaitable<> { CO_ASSERT_OK(co_await p.execute("speak")); });
    const auto login = record("login");
    EXPECT_EQ(login.message, "login with password=[redacted]");
    EXPECT_EQ(field(login, "api_key"), "[redacted]");
    EXPECT_EQ(record("key:").message, "key:\n[redacted]\nend");
}

TEST_F(Logs, NeverHoldUpAWorkerThatFloodsThem) {
    auto how = logged(R"(
@snakepit.tool
def flood(lines):
    for i in range(lines):
        print("x" * 100)
        log.warning("y" * 100)
    return lines
)");
    with_pool(how, [this](pool& p) -> awaitable<> {
        auto reply = co_await p.execute("flood", 20'000);
        CO_ASSERT_OK(reply);
        EXPECT_EQ(*reply, 20'000);
        CO_ASSERT(co_await comes_true([&] { return field(record("logging"), "event") == "output_dropped"; }));
    });
    EXPECT_LT(count_of("yyyy"), 20'000u);
}

TEST_F(Logs, AreTextWhateverAWorkerWrites) {
    const auto how = logged(R"(
@snakepit.tool
def speak():
    os.write(1, b"caf\xe9 \xff\n")
)");
    with_pool(how, [this](pool& p) -> awaitable<> {
        p.set_log_level(log_level::debug);
        CO_ASSERT_OK(co_await p.execute("speak"));
        CO_ASSERT(co_await comes_true([&] { return count_of("caf\xef\xbf\xbd \xef\xbf\xbd") == 1; }));
    });
}

}  // namespace
}  // namespace snakepit::test
