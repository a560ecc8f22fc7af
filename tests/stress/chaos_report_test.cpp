// How the chaos run's history of sessions comes about: values, scripts, and what tools report of them.

#include "stress/chaos/session_report.hpp"
#include "stress/chaos/session_script.hpp"
#include "stress/chaos/session_value.hpp"

#include <gtest/gtest.h>
#include <set>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;
using kind = session_op::kind;
using outcome = session_op::outcome;

TEST(ChaosSessionValue, IsWhatItsTextSays) {
    const session_value plain{"lasting-1", "a", 17, 0};
    const session_value counting{"lasting-1", "count", 18, 3};
    EXPECT_EQ(to_text(plain), "lasting-1/a/17");
    EXPECT_EQ(parse(to_text(plain)), plain);
    EXPECT_EQ(parse(to_text(counting)), counting);
    for (const auto* strange : {"", "a", "a/b", "a/b/", "a/b/0", "a/b/x", "a/b/1x", "a/b/1/0", "a/b/1/2/3"})
        EXPECT_FALSE(parse(strange)) << strange;
}

TEST(ChaosSessionScript, IsTheSameFromTheSameSeedAlone) {
    const auto of = [](std::uint64_t seed) {
        dice random(seed);
        session_log log;
        value all = value::array();
        for (int i = 0; i < 20; ++i) {
            const auto s = next_script(random, log);
            all.push_back(list(std::string(s.kind->key), static_cast<int>(s.affinity), mark_of(s), steps_of(s)));
        }
        return all;
    };
    EXPECT_EQ(of(1), of(1));
    EXPECT_NE(of(1), of(2));
}

TEST(ChaosSessionScript, WritesEveryValueOnceAndChangesNothingWhenItOnlyLooks) {
    dice random(7);
    session_log log;
    std::set<std::uint64_t> numbers;
    std::set<std::string_view> done;
    for (int i = 0; i < 2'000; ++i) {
        const auto s = next_script(random, log);
        EXPECT_TRUE(numbers.insert(s.birth).second);
        for (const auto& step : s.steps) {
            done.insert(step.what);
            if (step.number != 0) {
                EXPECT_TRUE(numbers.insert(step.number).second);
            }
            if (s.tool != "look_at_session") continue;
            EXPECT_TRUE(step.what == "get" || step.what == "look" || step.what == "wait") << step.what;
        }
    }
    EXPECT_EQ(done.size(), 9U);
}

class ChaosReport : public testing::Test {
protected:
    ChaosReport() {
        script.kind = &session_kinds()[0];
        script.birth = 1;
        call.id = 5;
        call.begun = clock::time_point(1s);
        call.ended = clock::time_point(2s);
    }
    [[nodiscard]] std::string text(std::string variable, std::uint64_t number) const {
        return to_text({std::string(script.kind->key), std::move(variable), number});
    }
    /// From 1.1 s to 1.2 s.
    static value row(std::string what, std::string name, std::string how, value data, int version, int expected = -1) {
        return list(std::move(what), std::move(name), 1'100'000'000, 1'200'000'000, std::move(how), std::move(data),
                    version, expected);
    }
    [[nodiscard]] std::vector<session_op> reported(value rows) {
        value report;
        report["rows"] = std::move(rows);
        session_log log;
        add_report(script, call, report, log);
        return log.seen.ops;
    }

    session_script script;
    call_record call;
};

TEST_F(ChaosReport, SaysWhatWasReadAndWrittenInWhichSession) {
    const auto ops = reported(list(row("look", birth, "done", nullptr, 0),                       //
                                   row("compare_and_set", birth, "done", text(birth, 1), 1, 0),  //
                                   row("get", "a", "done", text("a", 9), -1),                    //
                                   row("look", "a", "done", 17, 3),                              //
                                   row("set", "b", "done", text("b", 2), 4),                     //
                                   row("compare_and_set", "b", "conflict", text("b", 3), -1, 4)));
    ASSERT_EQ(ops.size(), 6U);
    for (const auto& op : ops) {
        EXPECT_EQ(op.session, 1U);
        EXPECT_EQ(op.call, 5U);
        EXPECT_EQ(op.began, clock::time_point(1'100ms));
        EXPECT_EQ(op.ended, clock::time_point(1'200ms));
    }
    EXPECT_EQ(ops[0].what, kind::read);
    EXPECT_FALSE(ops[0].value);
    EXPECT_EQ(ops[1].what, kind::write);
    EXPECT_EQ(ops[1].expected, 0U);
    EXPECT_EQ(ops[2].value->number, 9U);
    EXPECT_EQ(ops[2].version, 0U);
    EXPECT_EQ(ops[3].strange, "17");
    EXPECT_EQ(ops[4].version, 4U);
    EXPECT_FALSE(ops[4].expected);
    EXPECT_EQ(ops[5].how, outcome::refused);
}

TEST_F(ChaosReport, AWriteThatIsNotWaitedForIsAcknowledgedByTheCall) {
    const auto ops = reported(list(row("assign", "a", "done", text("a", 2), -1)));
    ASSERT_EQ(ops.size(), 1U);
    EXPECT_EQ(ops[0].began, clock::time_point(1'100ms));
    EXPECT_EQ(ops[0].ended, call.ended);
}

TEST_F(ChaosReport, ToEraseNothingIsToSeeNothing) {
    const auto ops = reported(list(row("erase", "a", "absent", nullptr, -1), row("erase", "a", "done", nullptr, -1)));
    ASSERT_EQ(ops.size(), 2U);
    EXPECT_EQ(ops[0].what, kind::read);
    EXPECT_FALSE(ops[0].value);
    EXPECT_EQ(ops[1].what, kind::erase);
}

TEST_F(ChaosReport, KnowsASessionByTheNameThatAnotherGave) {
    const auto ops = reported(
        list(row("look", birth, "done", nullptr, 0), row("compare_and_set", birth, "conflict", text(birth, 1), -1, 0),
             row("look", birth, "done", text(birth, 8), 1), row("close", "", "closed", nullptr, -1)));
    ASSERT_EQ(ops.size(), 4U);
    for (const auto& op : ops) EXPECT_EQ(op.session, 8U);
    EXPECT_EQ(ops[3].how, outcome::closed);
}

TEST_F(ChaosReport, AnAttemptThatDiedMayHaveGivenTheName) {
    call.may_run_again = true;
    const auto ops = reported(list(row("look", birth, "done", text(birth, 1), 1)));
    ASSERT_EQ(ops.size(), 2U);
    EXPECT_EQ(ops[1].what, kind::write);
    EXPECT_EQ(ops[1].how, outcome::unknown);
    EXPECT_EQ(ops[1].value->number, 1U);
}

TEST_F(ChaosReport, OfACallThatFailedAnythingMayHaveBeenDone) {
    script.steps = {{"get", "a"}, {"set", "a", 2}, {"erase", "a"}, {"wait", "a", 0, 3}, {"close", ""}};
    session_log log;
    add_unknown(script, call, log);
    const auto& ops = log.seen.ops;
    ASSERT_EQ(ops.size(), 4U);
    EXPECT_EQ(ops[0].variable, birth);
    EXPECT_EQ(ops[1].value->number, 2U);
    EXPECT_EQ(ops[2].what, kind::erase);
    EXPECT_EQ(ops[3].what, kind::close);
    for (const auto& op : ops) {
        EXPECT_EQ(op.how, outcome::unknown);
        EXPECT_EQ(op.session, 0U);
        EXPECT_EQ(op.began, call.begun);
        EXPECT_EQ(op.ended, session_op::never);
    }
}

TEST_F(ChaosReport, RefusesWhatNoToolReports) {
    EXPECT_ANY_THROW((void)reported(list(row("fly", "a", "done", nullptr, 0))));
    EXPECT_ANY_THROW((void)reported(list(row("set", "a", "done", 17, 0))));
}

}  // namespace
}  // namespace snakepit::chaos
