// What judges how the chaos run's sessions begin and end.

#include "stress/chaos/session_checker.hpp"
#include "stress/chaos/session_story.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using kind = session_op::kind;
using outcome = session_op::outcome;

class ChaosLives : public testing::Test {
protected:
    [[nodiscard]] std::vector<fault> verdict() const { return faults_of(check_lives(story.history)); }
    session_op& used(std::uint64_t session, int from, int to) {
        auto& op = story.find_nothing(from, to);
        op.session = session;
        return op;
    }
    session_op& closed(std::uint64_t session, int from, int to) {
        auto& op = story.add(kind::close, "", from, to);
        op.session = session;
        return op;
    }
    void expires(std::uint64_t session, std::chrono::milliseconds ttl, int from, int to) {
        auto& op = story.add(kind::expire, "", from, to);
        op.session = session;
        op.ttl = ttl;
    }

    session_story story;
};

TEST_F(ChaosLives, FindsNothingInAGoodHistory) {
    used(1, 0, 1);
    closed(1, 10, 20);
    used(1, 11, 12);  // before it was done
    used(2, 15, 16);  // after
    used(1, 30, 31).how = outcome::closed;
    expires(2, 5ms, 40, 41);
    used(2, 50, 51).how = outcome::closed;
    used(3, 52, 53);
    story.is_lost(closed(3, 54, 54));
    used(4, 60, 61);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosLives, SeesASessionThatIsUsedAfterItWasClosed) {
    used(1, 0, 1);
    closed(1, 10, 20);
    used(1, 21, 22);
    EXPECT_THAT(verdict(), ElementsAre(fault::came_back));
}

TEST_F(ChaosLives, SeesASessionThatIsUsedAfterSomebodyWasToldOfItsEnd) {
    used(1, 0, 1);
    closed(1, 2, 100);
    used(1, 10, 20).how = outcome::closed;
    used(1, 21, 22);
    EXPECT_THAT(verdict(), ElementsAre(fault::came_back));
}

TEST_F(ChaosLives, SeesTwoSessionsOfAKeyAtTheSameTime) {
    used(1, 0, 1);
    used(2, 2, 3);
    used(1, 4, 5);
    closed(1, 4, 100);
    closed(2, 1, 100);
    EXPECT_THAT(verdict(), testing::Contains(fault::came_back));
}

TEST_F(ChaosLives, SessionsOfDifferentKeysAreNothingToEachOther) {
    used(1, 0, 1);
    used(2, 2, 3).key = "t";
    used(1, 4, 5);
    EXPECT_THAT(verdict(), IsEmpty());
}

TEST_F(ChaosLives, SeesASessionThatEndsThoughNobodyEndsIt) {
    used(1, 0, 1);
    used(1, 10, 20).how = outcome::closed;
    EXPECT_THAT(verdict(), ElementsAre(fault::ended_for_nothing));
}

TEST_F(ChaosLives, SeesASessionThatHasGoneWhenTheNextOneComes) {
    used(1, 0, 1);
    used(2, 10, 11);
    closed(1, 12, 13).how = outcome::closed;
    EXPECT_THAT(verdict(), ElementsAre(fault::ended_for_nothing));
}

TEST_F(ChaosLives, SeesASessionThatExpiresBeforeItsTime) {
    used(1, 0, 1);
    expires(1, 50ms, 0, 1);
    used(1, 20, 21);
    used(2, 60, 61);
    EXPECT_THAT(verdict(), ElementsAre(fault::ended_for_nothing));
}

}  // namespace
}  // namespace snakepit::chaos
