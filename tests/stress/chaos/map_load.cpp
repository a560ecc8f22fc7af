#include "stress/chaos/map_load.hpp"

#include "stress/chaos/priorities.hpp"
#include "stress/chaos/waiting.hpp"
#include "support/surroundings.hpp"

#include <algorithm>
#include <array>
#include <asio/co_spawn.hpp>
#include <ranges>
#include <utility>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;

constexpr unsigned users = 2;

struct habit {
    std::string_view tool;
    unsigned weight;
    unsigned most;  // milliseconds
};
constexpr std::array habits = {habit{"hurry", 40, 0}, habit{"look_up", 20, 5}, habit{"nap", 20, 10},
                               habit{"together", 20, 4}};

}  // namespace

/// A map while it is used.
struct map_load::one {
    one(map_record& r, dice what) : record(r), random(what) {}

    /// What the map reads.
    value next_item(call_log& log) {
        auto& c = log.add(record.tool, timeout);
        c.may_run_again = record.tool == "look_up";
        c.is_in_batch = record.tool == "together";
        calls.push_back(&c);
        record.most_ahead = std::max<std::uint64_t>(record.most_ahead, ++record.given - record.came.size());
        auto arguments = list(c.id, random(most + 1));
        return c.is_in_batch ? list(std::move(arguments)) : std::move(arguments);
    }

    map_record& record;
    dice random;
    unsigned most = 0;
    clock::duration timeout{};
    std::vector<call_record*> calls;  ///< by item
};

void map_load::begin(std::uint64_t seed) {
    over_ = false;
    for (unsigned i = 0; i < users; ++i) {
        ++open_;
        auto another = user(shared_from_this(), dice(seed * 1'000 + 800 + i));
        asio::co_spawn(on_, std::move(another), [self = shared_from_this()](const std::exception_ptr& failed) {
            --self->open_;
            if (failed) std::rethrow_exception(failed);
        });
    }
}

asio::awaitable<void> map_load::user(std::shared_ptr<map_load> self, dice random) {
    while (!self->over_) {
        const auto& what = habits[random.weighted(habits)];
        auto& record = self->maps_.emplace_back();
        record.number = self->maps_.size();
        record.tool = what.tool;
        record.is_ordered = random(2) == 0;
        record.window = random.between(1, random(4) == 0 ? 1 : 48);
        record.items = random(3) == 0 ? random(4) : random(200);
        const auto it = std::make_shared<one>(record, dice(random(1'000'000)));
        it->most = what.most;
        it->timeout = (random(4) == 0 ? 300ms : 5'000ms) * test::slow;
        auto using_it = use(self, it);
        co_await std::move(using_it);
        auto resting = wait(std::chrono::milliseconds(random(30)));
        co_await std::move(resting);
    }
}

asio::awaitable<void> map_load::use(std::shared_ptr<map_load> self, std::shared_ptr<one> it) {
    auto& record = it->record;
    auto& random = it->random;
    const bool gives_up = random(4) == 0;
    const auto enough = random(static_cast<unsigned>(record.items) + 1);
    const bool is_slow = random(4) == 0;
    const auto calls = call_options().timeout(it->timeout).priority(priority_of(random));
    const auto options = map_options().window(record.window).ordered(record.is_ordered).spread(true).call(calls);
    // Nothing is begun after the end.
    const auto is_there = [self, &record](std::uint64_t i) {
        if (self->over_) record.items = record.given;
        return i < record.items;
    };
    const auto read = [self, it](std::uint64_t) { return it->next_item(*self->log_); };
    auto range = std::views::iota(std::uint64_t{0}) | std::views::take_while(is_there) | std::views::transform(read);
    auto results = self->pool_.map(std::string(record.tool), std::move(range), options);
    while (!gives_up || record.came.size() < enough) {
        const auto since = clock::now();
        auto taking = results.next();
        auto item = co_await std::move(taking);
        record.has_ended = !item;
        if (!item) break;
        if (item->index < it->calls.size()) it->calls[item->index]->listens_since = since;
        self->note(*it, *item);
        if (!is_slow || random(5) != 0) continue;
        auto resting = wait(std::chrono::milliseconds(random(10)));
        co_await std::move(resting);
    }
    for (auto* c : it->calls)
        if (c->ends == 0 && !record.has_ended) self->log_->drop(*c);
}

void map_load::note(one& of, const mapped<value>& what) {
    of.record.came.push_back(what.index);
    if (what.index >= of.calls.size()) return;  // the checker tells
    auto& c = *of.calls[what.index];
    if (what.outcome) log_->has_value(c, *what.outcome == c.id);
    else log_->has_failed(c, what.outcome.error());
}

}  // namespace snakepit::chaos
