// Which events are logged, at which level, in which words.

#include "telemetry/logger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Logger : public ::testing::Test {
protected:
    std::unique_ptr<logger> make(log_level least) {
        log_options how;
        how.level = least;
        how.sink = [this](const log_record& r) {
            const std::lock_guard lock(mutex_);
            records_.push_back(r);
        };
        return std::make_unique<logger>(how, bus_, std::make_shared<const redactor>(how.redact));
    }
    void end_worker(bool planned) {
        bus_->publish(
            [&] { return happened::worker_ended{"w0", 2, planned, error(errc::worker_lost, "it has died")}; });
    }
    void log_in_python(log_level level, const std::string& message) {
        bus_->publish([&] {
            happened::worker_logged e;
            e.worker = "w0";
            e.incarnation = 1;
            e.level = level;
            e.logger = "shop.cart";
            e.message = message;
            e.call = 7;
            e.tool = "buy";
            e.trace_id = "0af7651916cd43dd8448eb211c80319c";
            e.fields = {{"user", "me"}, {"password", "hunter2"}, {"worker", "forged"}};
            return e;
        });
    }
    [[nodiscard]] std::vector<std::string> messages() const {
        std::vector<std::string> all;
        for (const auto& r : records_) all.push_back(r.message);
        return all;
    }
    static std::string field_of(const log_record& r, const std::string& key) {
        for (const auto& [k, v] : r.fields)
            if (k == key) return v;
        return "(none)";
    }

    const std::shared_ptr<event_bus> bus_ = std::make_shared<event_bus>();
    std::mutex mutex_;
    std::vector<log_record> records_;
};

TEST_F(Logger, TellsOfDeathsAsWarningsAndOfPlannedEndsAsNews) {
    const auto l = make(log_level::info);
    end_worker(false);
    end_worker(true);
    ASSERT_EQ(records_.size(), 2u);
    EXPECT_EQ(records_[0].level, log_level::warning);
    EXPECT_THAT(records_[0].message, HasSubstr("it has died"));
    EXPECT_EQ(field_of(records_[0], "event"), "worker_ended");
    EXPECT_EQ(field_of(records_[0], "worker"), "w0");
    EXPECT_EQ(field_of(records_[0], "incarnation"), "2");
    EXPECT_EQ(records_[1].level, log_level::info);
}

TEST_F(Logger, HasTheRecordsOfPythonWithTheirCallAndWithoutSecrets) {
    const auto l = make(log_level::warning);
    log_in_python(log_level::info, "not wanted");
    log_in_python(log_level::error, "no luck, token=abc");
    ASSERT_EQ(records_.size(), 1u);
    EXPECT_EQ(records_[0].logger, "shop.cart");
    EXPECT_EQ(records_[0].level, log_level::error);
    EXPECT_EQ(records_[0].message, "no luck, token=[redacted]");
    EXPECT_EQ(field_of(records_[0], "call"), "7");
    EXPECT_EQ(field_of(records_[0], "tool"), "buy");
    EXPECT_EQ(field_of(records_[0], "trace_id"), "0af7651916cd43dd8448eb211c80319c");
    EXPECT_EQ(field_of(records_[0], "user"), "me");
    EXPECT_EQ(field_of(records_[0], "worker"), "w0");
    EXPECT_EQ(field_of(records_[0], "extra.worker"), "forged");
    EXPECT_EQ(field_of(records_[0], "password"), "[redacted]");
}

TEST_F(Logger, FollowsItsLevelAndHasNoEventsMadeThatItDoesNotWant) {
    const auto l = make(log_level::warning);
    EXPECT_FALSE(bus_->wants<happened::worker_wrote>());
    EXPECT_FALSE(bus_->wants<happened::call_ended>());
    l->set_level(log_level::info);
    EXPECT_EQ(l->level(), log_level::info);
    EXPECT_TRUE(bus_->wants<happened::worker_wrote>());
    EXPECT_FALSE(bus_->wants<happened::call_ended>());
    l->set_level(log_level::debug);
    EXPECT_TRUE(bus_->wants<happened::call_ended>());
    EXPECT_TRUE(bus_->wants<happened::worker_moved>());
    l->set_level(log_level::off);
    EXPECT_FALSE(bus_->wants<happened::group_degraded>());
    bus_->publish([] { return happened::group_degraded{"", "all is lost"}; });
    EXPECT_TRUE(records_.empty());
    l->set_level(log_level::error);
    bus_->publish([] { return happened::group_degraded{"", "all is lost"}; });
    EXPECT_THAT(messages(), ElementsAre("the pool is degraded: all is lost"));
}

TEST_F(Logger, LosesWhatASinkThrowsAndGoesOn) {
    log_options how;
    int calls = 0;
    how.sink = [&](const log_record&) {
        ++calls;
        throw std::runtime_error("oh");
    };
    const logger l(how, bus_, std::make_shared<const redactor>(how.redact));
    end_worker(false);
    end_worker(false);
    EXPECT_EQ(calls, 2);
}

TEST_F(Logger, LetsASinkCauseEvents) {
    log_options how;
    std::vector<std::string> all;
    how.sink = [&](const log_record& r) {
        all.push_back(r.message);
        if (all.size() == 1) bus_->publish([] { return happened::tool_degraded{"", "count"}; });
    };
    const logger l(how, bus_, std::make_shared<const redactor>(how.redact));
    end_worker(false);
    EXPECT_EQ(all.size(), 2u);
}

TEST_F(Logger, CutsAStormOfOneKindAndSaysHowMuchItLeftOut) {
    const auto l = make(log_level::warning);
    for (int i = 0; i < 1'000; ++i) end_worker(false);
    EXPECT_LT(records_.size(), 200u);
    EXPECT_GE(records_.size(), 100u);
    bus_->publish([] { return happened::tool_degraded{"", "count"}; });
    EXPECT_THAT(records_.back().message, HasSubstr("count")) << "another kind has room of its own";
    std::this_thread::sleep_for(100ms);  // as much as earns one more
    end_worker(false);
    EXPECT_GT(std::stoi(field_of(records_.back(), "left_out_before")), 700);
}

TEST_F(Logger, WritesOneRecordAtATime) {
    log_options how;
    int inside = 0;
    bool overlapped = false;
    int all = 0;
    how.sink = [&](const log_record&) {
        overlapped = overlapped || ++inside != 1;
        ++all;
        --inside;
    };
    logger l(how, bus_, std::make_shared<const redactor>(how.redact));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 200; ++i) log_in_python(log_level::error, "x");
        });
    for (int i = 0; i < 50; ++i) l.set_level(i % 2 == 0 ? log_level::error : log_level::warning);
    for (auto& t : threads) t.join();
    EXPECT_FALSE(overlapped);
    EXPECT_EQ(all, 800);
}

TEST(LogLine, HasTimeLevelLoggerMessageAndFields) {
    const log_record r{std::chrono::system_clock::time_point(1'500ms),
                       log_level::warning,
                       "snakepit",
                       "it has died",
                       {{"worker", "w0"}, {"why", "a \"b\" c"}, {"empty", ""}}};
    EXPECT_EQ(to_line(r),
              R"(1970-01-01T00:00:01.500Z warning snakepit: it has died worker=w0 why="a \"b\" c" empty="")");
}

TEST(LogLine, IsOneLineWhateverIsInIt) {
    const log_record r{{}, log_level::info, "a\nb", "x\ny\x1b[2J", {{"k\n", "v\nw"}}};
    const auto line = to_line(r);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
}

TEST(LogLine, HasNoOtherControlsEither) {
    const log_record r{
        {}, log_level::info, "a", "\u009b2J \u2028 \u202e \u2066 \u00e9\u20ac", {{"k 1", "v"}, {"a=b", "\u0085"}}};
    EXPECT_EQ(to_line(r),
              "1970-01-01T00:00:00.000Z info a: \\xc2\\x9b2J \\xe2\\x80\\xa8 \\xe2\\x80\\xae "
              "\\xe2\\x81\\xa6 \u00e9\u20ac \"k 1\"=v \"a=b\"=\\xc2\\x85");
}

}  // namespace
}  // namespace snakepit::detail
