// Everything at once: callers on threads of their own, workers that come, go, dawdle and die, calls that are given up.
// Meant for ThreadSanitizer; each call must end exactly once, and at the end every place must be free.

#include "pool/limits.hpp"
#include "pool/switchboard.hpp"
#include "support/fake_lane.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/strand.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace snakepit::detail {
namespace {

using namespace std::chrono_literals;
using testing_lane = snakepit::testing::fake_lane;
using clock_type = std::chrono::steady_clock;

constexpr auto how_long = 3s;
constexpr int calls_per_line = 32;
const std::vector<tool_spec> tools{{"echo", {}, {}, {}, {}}};

class dice {
public:
    explicit dice(std::uint64_t seed) : random_(seed) {}
    std::size_t up_to(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n)(random_); }
    bool one_in(std::size_t n) { return up_to(n - 1) == 0; }

private:
    std::mt19937_64 random_;
};

/// How the calls of all callers ended.
struct tally {
    std::atomic<long> submitted = 0, ended = 0, succeeded = 0, wrong = 0;
};

/// A thread with an io_context, on which it keeps some calls going.
class caller {
public:
    caller(switchboard& board, tally& count, std::uint64_t seed) : board_(board), count_(count), dice_(seed) {
        thread_ = std::thread([this] { io_.run(); });
    }
    void start(int chains) {
        for (int i = 0; i < chains; ++i) asio::post(home_, [this] { submit(); });
    }
    void finish() {
        stopping_ = true;
        work_.reset();
        thread_.join();
    }

private:
    void submit() {
        auto c = std::make_shared<call>();
        c->tool = "echo";
        const auto size = dice_.one_in(300) ? std::size_t{100'000} + dice_.up_to(400'000) : dice_.up_to(200);
        std::string arguments(size, static_cast<char>('a' + dice_.up_to(25)));
        if (size > max_inline_bytes) c->large = std::make_shared<const std::string>(arguments);
        else c->arguments = arguments;
        if (dice_.one_in(2)) {  // a hot session among others
            c->session = dice_.one_in(3) ? "hot" : fmt::format("s{}", dice_.up_to(40));
            c->affinity = static_cast<affinity>(1 + dice_.up_to(2));
            c->served = std::make_shared<served_by>();
        }
        c->priority = static_cast<priority>(dice_.up_to(2));
        if (dice_.one_in(3)) c->deadline = clock_type::now() + std::chrono::microseconds(dice_.up_to(20'000));
        ++count_.submitted;
        auto ends = std::make_shared<std::atomic<int>>(0);
        c->done = {[this, ends, arguments = std::move(arguments)](result<value> outcome) {
                       if (++*ends != 1) ++count_.wrong;
                       ++count_.ended;
                       if (outcome) {
                           ++count_.succeeded;
                           if (*outcome != value(arguments)) ++count_.wrong;
                       }
                       if (!stopping_) submit();
                   },
                   home_};
        const std::weak_ptr<call> weak = c;
        board_.submit(std::move(c));
        if (dice_.one_in(4))
            if (const auto live = weak.lock()) board_.give_up(*live, errc::cancelled);
        if (dice_.one_in(4)) previous_ = weak;
        else if (const auto live = previous_.lock()) board_.give_up(*live, errc::cancelled);
    }

    switchboard& board_;
    tally& count_;
    dice dice_;
    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
    asio::strand<asio::io_context::executor_type> home_ = asio::make_strand(io_);
    std::weak_ptr<call> previous_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

/// A thread that plays a worker: answers some of what it holds, now and then is suspended or dies, and comes again.
class worker {
public:
    worker(switchboard& board, std::string name, std::uint64_t seed)
        : board_(board), name_(std::move(name)), dice_(seed), thread_([this] { live(); }) {}

    void finish() {
        stopping_ = true;
        thread_.join();
    }
    [[nodiscard]] const std::vector<std::string>& faults() const { return faults_; }

private:
    void live() {
        while (!stopping_) {
            auto lane = testing_lane::plug_in(board_, name_, tools, {});
            const auto l = lane->carried();
            const bool drains = dice_.one_in(3);
            for (auto rounds = 5 + dice_.up_to(100); rounds > 0 && !stopping_; --rounds) {
                answer_some(*lane);
                give_some_back(*lane);
                if (dice_.one_in(20)) std::this_thread::sleep_for(3ms);  // long enough to be asked for its calls
                if (!dice_.one_in(20)) continue;
                board_.suspend(*l);
                answer_some(*lane);
                board_.resume(*l);
            }
            if (drains || stopping_) {
                const auto last = dice_.one_in(2) ? board_.suspend(*l) : board_.dismiss(*l);
                while (board_.load(*l) != 0) {
                    answer_some(*lane);
                    give_some_back(*lane);
                }
                for (const auto id : lane->held()) faults_.push_back(fmt::format("holds {} of {}", id, last));
            }
            lane->unplug(error(errc::worker_lost, "died"));
            if (board_.load(*l) != 0) faults_.push_back("a place was not given back");
            for (const auto& f : lane->faults()) faults_.push_back(f);
        }
    }
    /// Of the calls that are wanted back; the others have begun.
    void give_some_back(testing_lane& lane) {
        const auto held = lane.held();
        std::vector<std::uint64_t> ids;
        for (const auto& asked : lane.take_recalls())
            for (const auto id : asked)
                if (!dice_.one_in(3) && std::find(held.begin(), held.end(), id) != held.end()) ids.push_back(id);
        if (const auto breach = lane.give_back(ids)) faults_.push_back(*breach);
    }
    void answer_some(testing_lane& lane) {
        auto ids = lane.held();
        std::shuffle(ids.begin(), ids.end(), std::mt19937_64(dice_.up_to(1'000'000)));
        ids.resize(dice_.up_to(ids.size()));
        if (const auto breach = lane.answer(ids)) faults_.push_back(*breach);
        if (lane.held().size() > calls_per_line) faults_.push_back("more calls than its credit");
        if (dice_.one_in(4)) std::this_thread::sleep_for(std::chrono::microseconds(dice_.up_to(300)));
    }

    switchboard& board_;
    const std::string name_;
    dice dice_;
    std::vector<std::string> faults_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

TEST(SwitchboardStress, EveryCallEndsExactlyOnceWhateverHappens) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(fmt::format("seed {}", seed));
    fmt::print("seed {}\n", seed);

    std::atomic<clock_type::time_point> alarm = clock_type::time_point::max();
    switchboard board({.queue = 170,
                       .calls_per_line = calls_per_line,
                       .in_flight = std::size_t{1} << 20,
                       .sessions = 20,
                       .strict_calls = seed % 2 == 0 ? when_worker_goes::migrate : when_worker_goes::fail,
                       .credit = {500, 2'000, 0, 1ms}},
                      [&](clock_type::time_point t) { alarm = t; });
    board.open();
    tally count;
    {
        std::vector<std::unique_ptr<worker>> workers;
        for (unsigned i = 0; i < 4; ++i)
            workers.push_back(std::make_unique<worker>(board, fmt::format("w{}", i), seed + i));
        while (board.tools().empty()) std::this_thread::yield();
        std::vector<std::unique_ptr<caller>> callers;
        for (unsigned i = 0; i < 3; ++i) callers.push_back(std::make_unique<caller>(board, count, seed + 100 + i));
        for (const auto& c : callers) c->start(100);

        std::atomic<bool> stop = false;
        std::thread clock([&] {
            while (!stop) {
                if (clock_type::now() >= alarm.load()) board.expire(clock_type::now());
                std::this_thread::sleep_for(500us);
            }
        });
        const auto until = clock_type::now() + how_long;
        while (clock_type::now() < until) {
            const auto s = board.stats();
            ASSERT_EQ(s.submitted, s.succeeded + s.failed + s.cancelled + s.expired + s.queued + s.in_flight);
            std::this_thread::sleep_for(1ms);
        }
        for (const auto& c : callers) c->finish();  // returns when each of its calls has ended
        stop = true;
        clock.join();
        for (const auto& w : workers) w->finish();
        for (const auto& w : workers)
            for (const auto& f : w->faults()) ADD_FAILURE() << f;
    }
    const auto s = board.stats();
    fmt::print(
        "{} calls: {} succeeded, {} failed, {} cancelled, {} expired, {} refused, {} late replies, {} taken back\n",
        count.submitted.load(), s.succeeded, s.failed, s.cancelled, s.expired, s.refused, s.late_replies, s.recalled);
    EXPECT_EQ(count.ended, count.submitted);
    EXPECT_EQ(count.wrong, 0);
    EXPECT_EQ(static_cast<std::uint64_t>(count.succeeded), s.succeeded);
    EXPECT_EQ(s.queued, 0u);
    EXPECT_EQ(s.in_flight, 0u);
    EXPECT_GT(s.succeeded, 0u);
    EXPECT_GT(s.failed, 0u);
    EXPECT_GT(s.cancelled, 0u);
    EXPECT_GT(s.recalled, 0u);
}

}  // namespace
}  // namespace snakepit::detail
