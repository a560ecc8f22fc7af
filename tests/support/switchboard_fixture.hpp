#pragma once
// A switchboard with fake lanes. At the end every promise of the wire was kept and the counters add up.

#include "pool/switchboard.hpp"
#include "support/fake_lane.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace snakepit::testing {

/// A call in the eyes of its caller.
struct pending_call {
    detail::call_ptr it = std::make_shared<detail::call>();
    int ends = 0;
    std::optional<result<value>> outcome;

    [[nodiscard]] bool waits() const { return ends == 0; }
    [[nodiscard]] bool failed_with(errc why) const { return ends == 1 && !*outcome && outcome->error() == why; }
};

/// The callers live on `io_`; workers are w0, w1, ...
class SwitchboardFixture : public ::testing::Test {
protected:
    /// Writes down in `p` how its call ends.
    template <class Pending>
    static void listen(const std::shared_ptr<Pending>& p, asio::io_context& home) {
        p->it->done = {[p](result<value> outcome) {
                           ++p->ends;
                           p->outcome = std::move(outcome);
                       },
                       home.get_executor()};
    }
    std::shared_ptr<fake_lane> plug_in_lane(fake_lane::manners how, std::vector<std::string> tools) {
        std::vector<tool_spec> specs;
        for (auto& name : tools) specs.push_back({std::move(name), {}, {}, {}, {}});
        lanes_.push_back(fake_lane::plug_in(*board_, fmt::format("w{}", lanes_.size()), specs, std::move(how)));
        return lanes_.back();
    }
    /// Runs what is ready: completions and posted flushes.
    void run() {
        io_.restart();
        io_.poll();
        const auto s = board_->stats();
        EXPECT_EQ(s.submitted, s.succeeded + s.failed + s.cancelled + s.expired + s.queued + s.in_flight);
    }
    void TearDown() override {
        if (!board_) return;
        run();
        for (const auto& l : lanes_) {
            EXPECT_THAT(l->faults(), ::testing::IsEmpty());
            l->unplug(error(errc::worker_lost, "it is gone"));
        }
        board_.reset();
        io_.restart();
        io_.poll();
    }

    asio::io_context io_;
    std::shared_ptr<detail::switchboard> board_;
    std::vector<std::shared_ptr<fake_lane>> lanes_;
};

}  // namespace snakepit::testing
