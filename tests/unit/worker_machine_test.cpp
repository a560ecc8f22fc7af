#include "capsule/worker_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace snakepit::detail {
namespace {

using enum worker_state;
using h = happening;
using a = action;

constexpr h every_happening[] = {
    h::up,           h::not_up,           h::lost, h::working, h::idle,   h::missed, h::alive, h::silent, h::worn,
    h::successor_up, h::successor_failed, h::due,  h::spent,   h::retire, h::stop,   h::gone};

/// A machine to which these things have happened.
worker_machine after(std::vector<happening> what) {
    worker_machine m;
    for (const auto w : what) (void)m.on(w);
    return m;
}

struct row {
    std::vector<happening> before;
    happening what;
    action then;
    worker_state state;
};

class WorkerMachineTable : public ::testing::TestWithParam<row> {};

TEST_P(WorkerMachineTable, DoesWhatTheDiagramSays) {
    auto m = after(GetParam().before);
    const auto from = m.state();
    EXPECT_EQ(m.on(GetParam().what), GetParam().then) << to_string(from) << " and " << to_string(GetParam().what);
    EXPECT_EQ(m.state(), GetParam().state);
}

const std::vector<happening> up = {h::up};
const std::vector<happening> recycled = {h::up, h::worn};
const std::vector<happening> died = {h::up, h::lost};
const std::vector<happening> broke = {h::up, h::lost, h::spent};
const std::vector<happening> quiet = {h::up, h::working, h::missed};

INSTANTIATE_TEST_SUITE_P(
    Life, WorkerMachineTable,
    ::testing::Values(row{{}, h::up, a::publish, ready},                                            //
                      row{{}, h::not_up, a::back_off, restarting},                                  //
                      row{{}, h::stop, a::end, stopping},                                           //
                      row{up, h::working, a::none, executing},                                      //
                      row{{h::up, h::working}, h::idle, a::none, ready},                            //
                      row{up, h::lost, a::back_off, restarting},                                    //
                      row{{h::up, h::working}, h::lost, a::back_off, restarting},                   //
                      row{up, h::missed, a::withhold, missed_heartbeat},                            //
                      row{quiet, h::alive, a::publish, ready},                                      //
                      row{quiet, h::silent, a::give_up_on, missed_heartbeat},                       //
                      row{quiet, h::lost, a::back_off, restarting},                                 //
                      row{quiet, h::worn, a::breed, recycling},                                     //
                      row{up, h::silent, a::none, ready},                                           //
                      row{up, h::worn, a::breed, recycling},                                        //
                      row{recycled, h::worn, a::none, recycling},                                   //
                      row{recycled, h::successor_up, a::hand_over, ready},                          //
                      row{recycled, h::successor_failed, a::carry_on, ready},                       //
                      row{recycled, h::missed, a::withhold, recycling},                             //
                      row{recycled, h::alive, a::publish, recycling},                               //
                      row{recycled, h::lost, a::promote, booting},                                  //
                      row{{h::up, h::worn, h::lost}, h::up, a::publish, ready},                     //
                      row{{h::up, h::worn, h::lost}, h::not_up, a::back_off, restarting},           //
                      row{died, h::due, a::start, booting},                                         //
                      row{died, h::spent, a::break_down, dead},                                     //
                      row{broke, h::due, a::start, booting},                                        //
                      row{broke, h::up, a::none, dead},                                             //
                      row{{h::up, h::lost, h::spent, h::due}, h::not_up, a::back_off, restarting},  //
                      row{died, h::stop, a::end, stopping},                                         //
                      row{broke, h::stop, a::end, stopping},                                        //
                      row{recycled, h::stop, a::end, stopping},                                     //
                      row{{h::stop}, h::up, a::none, stopping},                                     //
                      row{{h::stop}, h::lost, a::none, stopping},                                   //
                      row{{h::stop}, h::due, a::none, stopping},                                    //
                      row{{h::stop}, h::gone, a::finish, dead},                                     //
                      row{{}, h::retire, a::end, stopping},                                         //
                      row{up, h::retire, a::retire, stopping},                                      //
                      row{{h::up, h::working}, h::retire, a::retire, stopping},                     //
                      row{quiet, h::retire, a::retire, stopping},                                   //
                      row{recycled, h::retire, a::retire, stopping},                                //
                      row{died, h::retire, a::end, stopping},                                       //
                      row{broke, h::retire, a::end, stopping},                                      //
                      row{{h::up, h::retire}, h::missed, a::none, stopping},                        //
                      row{{h::up, h::retire}, h::silent, a::give_up_on, stopping},                  //
                      row{{h::up, h::retire}, h::lost, a::none, stopping},                          //
                      row{{h::up, h::retire}, h::retire, a::none, stopping},                        //
                      row{{h::up, h::retire}, h::stop, a::end, stopping},                           //
                      row{{h::up, h::retire}, h::gone, a::finish, dead}));

/// Whether calls may go to a worker in this state.
bool is_routable(const worker_machine& m) {
    return m.state() == ready || m.state() == executing || m.state() == recycling;
}

/// A capsule that obeys, without processes: what there would be of them.
struct obedient {
    worker_machine machine;
    bool serving = false;    // a life that is up
    bool booting = true;     // one that is on its way
    bool successor = false;  // one beside `serving`, on its way
    bool stopped = false;
    bool finished = false;

    void happens(happening what) {
        switch (what) {  // what is true whatever the machine makes of it
            case h::up:
                booting = false;
                serving = true;
                break;
            case h::not_up: booting = false; break;
            case h::lost: serving = false; break;
            case h::successor_up:
            case h::successor_failed: successor = false; break;
            case h::retire:
            case h::stop: stopped = true; break;
            default: break;
        }
        obey(machine.on(what), what);
    }
    void obey(action then, happening why) {
        switch (then) {
            case a::start:
                ASSERT_FALSE(serving || booting || successor) << "two processes";
                ASSERT_FALSE(stopped) << "a start after the stop";
                booting = true;
                break;
            case a::breed:
                ASSERT_TRUE(serving && !successor && !stopped);
                successor = true;
                break;
            case a::promote:
                ASSERT_TRUE(successor && !serving && !booting);
                successor = false;
                booting = true;
                break;
            case a::hand_over: ASSERT_TRUE(serving); break;
            case a::publish: ASSERT_TRUE(serving) << "calls to nobody"; break;
            case a::back_off: ASSERT_FALSE(serving || booting || successor); break;
            case a::retire:
                ASSERT_TRUE(serving) << "nobody has anything to finish";
                successor = false;
                break;
            case a::end: serving = booting = successor = false; break;
            case a::finish:
                ASSERT_TRUE(stopped && why == h::gone);
                finished = true;
                break;
            default: break;
        }
        if (is_routable(machine)) {
            ASSERT_TRUE(serving) << to_string(machine.state()) << " after " << to_string(why);
            ASSERT_FALSE(stopped);
        }
    }
    /// Whether it can happen to what there is; the rest of the alphabet may come at any time, as old messages do.
    [[nodiscard]] bool is_possible(happening what) const {
        switch (what) {
            case h::up:
            case h::not_up: return booting;
            case h::lost: return serving;
            case h::successor_up:
            case h::successor_failed: return successor;
            case h::due:
            case h::spent: return machine.state() == restarting || machine.state() == dead;
            case h::gone: return stopped && !finished;
            default: return true;
        }
    }
};

TEST(WorkerMachine, KeepsItsPromisesWhateverHappens) {
    const char* wanted = std::getenv("SNAKEPIT_TEST_SEED");
    const auto seed = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : std::random_device()();
    SCOPED_TRACE("SNAKEPIT_TEST_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int round = 0; round < 20'000; ++round) {
        obedient capsule;
        std::string story;
        for (int step = 0; step < 40 && !capsule.finished; ++step) {
            auto what = every_happening[random() % std::size(every_happening)];
            if ((what == h::stop || what == h::retire) && random() % 4 != 0)
                what = h::idle;  // else most stories are short
            if (!capsule.is_possible(what)) continue;
            story += std::string(" ") + std::string(to_string(what));
            capsule.happens(what);
            ASSERT_FALSE(HasFatalFailure()) << story;
        }
        if (capsule.finished) continue;
        // Whatever came before, it serves again, or ends when it is told to.
        for (const auto what : {h::alive, h::not_up, h::successor_failed, h::lost, h::due, h::up})
            if (capsule.is_possible(what)) capsule.happens(what);
        ASSERT_FALSE(HasFatalFailure()) << story;
        ASSERT_EQ(is_routable(capsule.machine), !capsule.stopped) << to_string(capsule.machine.state()) << story;
        capsule.happens(h::stop);
        capsule.happens(h::gone);
        ASSERT_TRUE(capsule.finished) << story;
        ASSERT_EQ(capsule.machine.state(), dead);
    }
}

TEST(WorkerMachine, IgnoresWhatMakesNoSense) {
    worker_machine m;
    for (const auto what : {h::working, h::idle, h::missed, h::alive, h::silent, h::worn, h::successor_up,
                            h::successor_failed, h::due, h::spent, h::gone, h::lost}) {
        EXPECT_EQ(m.on(what), a::none) << to_string(what);
        EXPECT_EQ(m.state(), booting);
    }
}

}  // namespace
}  // namespace snakepit::detail
