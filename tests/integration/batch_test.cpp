// Batch tools on real workers: what callers get, and what is known of a batch when its worker dies in it.

#include "support/pool_fixture.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <numeric>

namespace snakepit::test {
namespace {

const auto batches = R"(
import os, signal, time
import snakepit
from everyday import append, hold, pid

SCRATCH = os.environ["SNAKEPIT_TEST_SCRATCH"]

def _once(name):
    try:
        os.close(os.open(os.path.join(SCRATCH, name), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False

def _die_once(items):
    append("batches", str(len(items)))
    for item in items:
        append("ran", str(item))
    if 50 in items and _once("died"):
        os.kill(os.getpid(), signal.SIGKILL)
    return items

@snakepit.tool(batch=True, max_batch=16)
def sizes(items):
    return [[item, len(items)] for item in items]

@snakepit.tool(batch=True, max_batch=8)
def die_once(items):
    return _die_once(items)

@snakepit.tool(batch=True, max_batch=8, idempotent=True)
def die_once_harmlessly(items):
    return _die_once(items)

@snakepit.tool(batch=True)
def only_even(items):
    return [ValueError(f"{item} is odd") if item % 2 else item for item in items]

@snakepit.tool(batch=True)
def short(items):
    return items[1:]

@snakepit.tool(batch=True)
def hold_all(names):
    append("batches", str(len(names)))
    return [hold(names[0])] * len(names)
)";

class Batch : public PoolTest {
protected:
    [[nodiscard]] pool_options batching() {
        auto o = module_of(batches);
        o.workers.min = 1;
        return o;
    }
    [[nodiscard]] std::map<std::string, int> lines_of(const std::string& name) const {
        std::istringstream text(file_text(scratch().path() / name));
        std::map<std::string, int> found;
        for (std::string line; std::getline(text, line);) ++found[line];
        return found;
    }
    void let_go(const std::string& name) const { scratch().write(name + ".go", ""); }

    struct watched {
        asio::cancellation_signal cancel;
        std::optional<result<value>> outcome;
    };
    static std::shared_ptr<watched> begin(pool& p, std::string tool, value argument) {
        auto w = std::make_shared<watched>();
        value arguments = value::array();
        arguments.push_back(std::move(argument));
        async_execute(
            p, std::move(tool), std::move(arguments), call_options(),
            asio::bind_cancellation_slot(w->cancel.slot(), [w](result<value> r) { w->outcome = std::move(r); }));
        return w;
    }
    [[nodiscard]] static bool all_ended(const std::vector<std::shared_ptr<watched>>& calls) {
        return std::all_of(calls.begin(), calls.end(), [](const auto& c) { return c->outcome.has_value(); });
    }
};

std::vector<int> numbers(int count) {
    std::vector<int> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

TEST_F(Batch, SingleCallsRunTogether) {
    with_pool(batching(), [](pool& p) -> awaitable<> {
        auto results = p.map("sizes", numbers(1'000), map_options().window(64));
        std::uint64_t largest = 0;
        while (auto r = co_await results.next()) {
            CO_ASSERT_OK(r->outcome);
            EXPECT_EQ(r->outcome->at(0), r->index);
            largest = std::max(largest, r->outcome->at(1).get<std::uint64_t>());
        }
        EXPECT_EQ(largest, 16U);
        EXPECT_EQ(p.stats().succeeded, 1'000U);
        const auto one = co_await p.call<std::pair<std::string, int>>("sizes", "alone");
        EXPECT_EQ(one, (std::pair<std::string, int>("alone", 1)));
        EXPECT_EQ(p.tools().front().name, "append");
    });
}

TEST_F(Batch, ErrorsAreOfItems) {
    with_pool(batching(), [](pool& p) -> awaitable<> {
        auto results = p.map<int>("only_even", numbers(100));
        while (auto r = co_await results.next()) {
            if (r->index % 2 == 0) {
                CO_ASSERT_OK(r->outcome);
                EXPECT_EQ(*r->outcome, static_cast<int>(r->index));
            } else {
                CO_ASSERT(failed_saying(r->outcome, errc::tool_raised, "is odd"));
                EXPECT_EQ(r->outcome.error().python()->type, "ValueError");
            }
        }
        auto wrong = co_await p.execute("short", 1);
        EXPECT_TRUE(failed_saying(wrong, errc::tool_raised, "short returned 0 results for a batch of 1"));
        EXPECT_EQ(wrong.error().python()->type, "snakepit.BatchResultError");
        wrong = co_await p.call<value>("short", 1, 2);
        EXPECT_TRUE(failed_with(wrong, errc::bad_arguments));
    });
}

TEST_F(Batch, ADeathCostsTheCallsOfItsBatchAndNoOtherIsRunTwice) {
    with_pool(batching(), [this](pool& p) -> awaitable<> {
        auto results = p.map("die_once", numbers(200), map_options().window(64));
        std::set<std::uint64_t> lost;
        while (auto r = co_await results.next()) {
            if (r->outcome) {
                EXPECT_EQ(*r->outcome, r->index);
                continue;
            }
            CO_ASSERT(failed_with(r->outcome, errc::worker_lost));
            EXPECT_EQ(r->outcome.error().exit()->signal, SIGKILL);
            EXPECT_EQ(r->outcome.error().exit()->running_tool, "die_once");
            lost.insert(r->index);
        }
        const auto ran = lines_of("ran");
        EXPECT_EQ(ran.size(), 200U);
        for (const auto& [item, times] : ran) EXPECT_EQ(times, 1) << item;
        EXPECT_TRUE(lost.contains(50));
        EXPECT_LE(lost.size(), 8U);
        EXPECT_LE(*lost.rbegin() - *lost.begin(), 7U) << "one batch";
        EXPECT_GT(lines_of("batches").count("8"), 0U);
    });
}

TEST_F(Batch, IdempotentCallsOfABatchAreRunAgain) {
    with_pool(batching(), [this](pool& p) -> awaitable<> {
        auto results = p.map("die_once_harmlessly", numbers(200), map_options().window(64));
        while (auto r = co_await results.next()) {
            CO_ASSERT_OK(r->outcome);
            EXPECT_EQ(*r->outcome, r->index);
        }
        std::size_t again = 0;
        for (const auto& [item, times] : lines_of("ran")) again += times == 2 ? 1 : 0;
        EXPECT_EQ(again, p.stats().retried);
        EXPECT_GE(again, 1U);
        EXPECT_LE(again, 8U);
    });
}

TEST_F(Batch, OneCancelledCallDoesNotCostTheWorker) {
    auto how = batching();
    how.cancel_grace = 50ms;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto before = co_await p.call<int>("pid");
        std::vector<std::shared_ptr<watched>> calls;
        for (int i = 0; i < 3; ++i) calls.push_back(begin(p, "hold_all", "gate"));
        CO_ASSERT(co_await comes_true([&] { return lines_of("batches")["3"] == 1; }));
        calls[0]->cancel.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return calls[0]->outcome.has_value(); }));
        EXPECT_TRUE(failed_with(*calls[0]->outcome, errc::cancelled));
        co_await wait_for(500ms);  // ten times the grace
        EXPECT_FALSE(calls[1]->outcome || calls[2]->outcome);
        EXPECT_EQ(p.workers().front().running, "hold_all");
        let_go("gate");
        CO_ASSERT(co_await comes_true([&] { return all_ended(calls); }));
        EXPECT_EQ(*calls[1]->outcome, "gate");
        EXPECT_EQ(*calls[2]->outcome, "gate");
        EXPECT_EQ(co_await p.call<int>("pid"), before);
    });
}

TEST_F(Batch, OneThatNobodyWantsAndThatDoesNotEndCostsTheWorker) {
    auto how = batching();
    how.cancel_grace = 50ms;
    with_pool(how, [this](pool& p) -> awaitable<> {
        const auto before = co_await p.call<int>("pid");
        std::vector<std::shared_ptr<watched>> calls;
        for (int i = 0; i < 3; ++i) calls.push_back(begin(p, "hold_all", "gate"));
        CO_ASSERT(co_await comes_true([&] { return lines_of("batches")["3"] == 1; }));
        const auto behind = begin(p, "sizes", 7);
        for (const auto& c : calls) c->cancel.emit(asio::cancellation_type::terminal);
        CO_ASSERT(co_await comes_true([&] { return behind->outcome.has_value(); }));
        CO_ASSERT_OK(*behind->outcome);
        EXPECT_NE(co_await p.call<int>("pid"), before);
        EXPECT_EQ(lines_of("log")["end gate"], 0);
    });
}

TEST_F(Batch, WorkersAreReplacedWithoutLossInTheMiddleOfBatches) {
    auto how = batching();
    how.workers.min = 2;
    with_pool(how, [](pool& p) -> awaitable<> {
        auto results = p.map("sizes", numbers(3'000), map_options().window(100));
        int count = 0;
        bool replaced = false;
        while (auto r = co_await results.next()) {
            CO_ASSERT_OK(r->outcome);
            if (++count == 200) async_recycle_all(p, [&replaced](result<void> done) { replaced = done.has_value(); });
        }
        EXPECT_EQ(count, 3'000);
        CO_ASSERT(co_await comes_true([&] { return replaced; }, 20s * slow));
    });
}

TEST_F(Batch, AToolThatCannotBeOneFailsTheStart) {
    const auto start_of = [this](const std::string& source) {
        auto how = module_of("import snakepit\n@snakepit.tool(batch=True" + source);
        result<void> up;
        run([&]() -> awaitable<> {
            pool p(io->get_executor(), how);
            up = co_await p.start();
        });
        return up;
    };
    EXPECT_TRUE(
        failed_saying(start_of(")\ndef two(a, b): return a"), errc::module_failed, "two", "takes one parameter"));
    EXPECT_TRUE(failed_saying(start_of(")\ndef some(items): yield 1"), errc::module_failed, "some"));
    EXPECT_TRUE(failed_saying(start_of(", max_batch=0)\ndef f(items): return items"), errc::module_failed,
                              "max_batch must be 1 to 4096, not 0"));
    EXPECT_TRUE(failed_saying(start_of(", max_wait_ms=-1)\ndef f(items): return items"), errc::module_failed,
                              "max_wait_ms must be 0 to 60000, not -1"));
}

}  // namespace
}  // namespace snakepit::test
