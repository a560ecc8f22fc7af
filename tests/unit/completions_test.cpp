#include "pool/completions.hpp"

#include <gtest/gtest.h>
#include <algorithm>
#include <asio/any_io_executor.hpp>
#include <asio/bind_executor.hpp>
#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <memory>
#include <stdexcept>
#include <vector>

namespace snakepit::detail {
namespace {

template <class Handler>
call_ptr ended(value outcome, const asio::any_io_executor& on, Handler handler) {
    auto c = std::make_shared<call>();
    c->done = {std::move(handler), on};
    c->outcome = std::move(outcome);
    return c;
}

TEST(Completions, ThoseOfOneExecutorRunAsOneHandlerInOrder) {
    asio::io_context io;
    std::vector<int> order;
    std::vector<call_ptr> batch;
    for (int i = 0; i < 100; ++i)
        batch.push_back(ended(i, io.get_executor(), [&](result<value> r) { order.push_back(r->get<int>()); }));
    deliver(std::move(batch));
    EXPECT_TRUE(order.empty());
    EXPECT_EQ(io.run(), 1u);
    ASSERT_EQ(order.size(), 100u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(Completions, EachRunsOnItsOwnExecutor) {
    asio::io_context a, b;
    int on_a = 0, on_b = 0;
    std::vector<call_ptr> batch;
    for (int i = 0; i < 10; ++i) {
        batch.push_back(ended(i, a.get_executor(), [&](result<value>) {
            EXPECT_TRUE(a.get_executor().running_in_this_thread());
            ++on_a;
        }));
        batch.push_back(ended(i, b.get_executor(), [&](result<value>) {
            EXPECT_TRUE(b.get_executor().running_in_this_thread());
            ++on_b;
        }));
    }
    deliver(std::move(batch));
    EXPECT_EQ(a.run(), 1u);
    EXPECT_EQ(on_a, 10);
    EXPECT_EQ(on_b, 0);
    EXPECT_EQ(b.run(), 1u);
    EXPECT_EQ(on_b, 10);
}

TEST(Completions, AStrandForEachCallerKeepsItsOrder) {
    asio::io_context io;
    constexpr int strands = 200;
    std::vector<asio::any_io_executor> homes;
    for (int i = 0; i < strands; ++i) homes.emplace_back(asio::make_strand(io));
    std::vector<std::vector<int>> order(strands);
    std::vector<call_ptr> batch;
    for (int round = 0; round < 3; ++round)
        for (int i = 0; i < strands; ++i) {
            auto& mine = order[static_cast<std::size_t>(i)];
            batch.push_back(ended(round, homes[static_cast<std::size_t>(i)],
                                  [&mine](result<value> r) { mine.push_back(r->get<int>()); }));
        }
    deliver(std::move(batch));
    io.run();
    for (const auto& o : order) EXPECT_EQ(o, (std::vector{0, 1, 2}));
}

TEST(Completions, AHandlerThatThrowsDoesNotLoseTheOthers) {
    asio::io_context io;
    int ran = 0;
    std::vector<call_ptr> batch;
    for (int i = 0; i < 10; ++i)
        batch.push_back(ended(i, io.get_executor(), [&](result<value> r) {
            ++ran;
            if (r->get<int>() % 3 == 0) throw std::runtime_error("a user's");
        }));
    deliver(std::move(batch));
    int thrown = 0;
    for (;;) {
        try {
            io.run();
            break;
        } catch (const std::runtime_error&) {
            ++thrown;
        }
    }
    EXPECT_EQ(ran, 10);
    EXPECT_EQ(thrown, 4);
}

TEST(Completions, HandlersGoWithTheContextThatDropsThem) {
    const auto token = std::make_shared<int>();
    std::vector<call_ptr> batch;
    {
        asio::io_context io;
        batch.push_back(ended(1, io.get_executor(), [token](result<value>) { FAIL(); }));
        deliver(batch);  // a worker may hold the same call still
    }
    EXPECT_EQ(token.use_count(), 1);
}

TEST(Completions, AnEmptyBatchIsNothing) { deliver({}); }

TEST(Completion, KeepsItsContextRunningUntilItHasRun) {
    asio::io_context io;
    bool ran = false;
    completion<int> done([&](int) { ran = true; }, io.get_executor());
    EXPECT_EQ(io.poll(), 0u);
    EXPECT_FALSE(io.stopped());
    completion<int>::post(std::move(done), 1);
    io.run();
    EXPECT_TRUE(ran);
}

TEST(Completion, FreesTheHandlersMemoryBeforeItRuns) {
    asio::io_context io;
    struct handler {
        std::shared_ptr<int> token;
        std::weak_ptr<int>* seen;
        void operator()(int) && { *seen = std::exchange(token, nullptr); }
    };
    std::weak_ptr<int> seen;
    completion<int> done(handler{std::make_shared<int>(), &seen}, io.get_executor());
    std::move(done)(1);
    EXPECT_TRUE(seen.expired());
    EXPECT_FALSE(done);
}

TEST(Completion, AdaptsToAnotherType) {
    asio::io_context io;
    std::string got;
    completion<std::string> text([&](std::string s) { got = std::move(s); }, io.get_executor());
    auto number = std::move(text).adapt<int>([](int n) { return std::to_string(n); });
    EXPECT_FALSE(text);
    EXPECT_EQ(number.executor(),
              asio::any_io_executor(asio::prefer(io.get_executor(), asio::execution::outstanding_work.tracked)));
    std::move(number)(42);
    EXPECT_EQ(got, "42");
}

TEST(Completion, PrefersTheHandlersOwnExecutor) {
    asio::io_context home, own;
    bool ran = false;
    completion<int> done(asio::bind_executor(own.get_executor(), [&](int) { ran = true; }), home.get_executor());
    completion<int>::post(std::move(done), 1);
    home.run();
    EXPECT_FALSE(ran);
    own.run();
    EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace snakepit::detail
