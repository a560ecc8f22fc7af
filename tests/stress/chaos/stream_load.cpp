#include "stress/chaos/stream_load.hpp"

#include "stress/chaos/waiting.hpp"
#include "support/surroundings.hpp"

#include <asio/co_spawn.hpp>
#include <asio/steady_timer.hpp>
#include <optional>
#include <utility>

namespace snakepit::chaos {
namespace {

using namespace std::chrono_literals;

constexpr unsigned users = 3;
constexpr unsigned items_between_pauses = 7;

/// @return  false: it is no value that its tool returns
bool read_value(const value& v, stream_record& to) {
    const bool returns_nothing = !to.gathers && to.tool.ends_with("_async");
    if (returns_nothing) return v.is_null();
    if (!v.is_array() || v.size() != 2 || v[0] != to.call) return false;
    if (to.gathers) to.gathered = v[1].get<std::vector<std::uint64_t>>();
    else to.counted = v[1].get<std::uint64_t>();
    return true;
}

std::uint64_t number_of(const value& item, const stream_record& of) {
    const bool is_own = item.is_array() && item.size() == 3 && item[0] == of.call && item[1].is_number_unsigned();
    return is_own ? item[1].get<std::uint64_t>() : stream_record::strange;
}

}  // namespace

/// A stream while it is used.
struct stream_load::one {
    one(stream_script what, call_record& c, stream_record& r, const strand& where)
        : script(what), call(c), record(r), stop(where) {}

    stream_script script;
    call_record& call;
    stream_record& record;
    asio::steady_timer stop;
    std::optional<stream> open;  ///< nothing: dropped
};

void stream_load::begin(std::uint64_t seed) {
    over_ = false;
    for (unsigned i = 0; i < users; ++i) start(user(shared_from_this(), dice(seed * 1'000 + 700 + i)));
}

void stream_load::start(asio::awaitable<void> what) {
    ++open_;
    asio::co_spawn(on_, std::move(what), [self = shared_from_this()](const std::exception_ptr& failed) {
        --self->open_;
        if (failed) std::rethrow_exception(failed);
    });
}

asio::awaitable<void> stream_load::user(std::shared_ptr<stream_load> self, dice random) {
    while (!self->over_) {
        const auto script = next_stream(random);
        auto& call = self->log_->add(script.tool, script.timeout * test::slow);
        call.has_large_reply = true;  // a reply is not believed for a stream, items before it may be missing
        call.may_raise = script.fails;
        auto& record = self->streams_.emplace_back();
        record.call = call.id;
        record.tool = script.tool;
        record.planned = script.items;
        record.gathers = script.gathers;
        record.relays = script.takes_input && !script.gathers;
        record.is_read_whole = script.patience != patience_of_reader::asks_at_once;
        co_await use(self, std::make_shared<one>(script, call, record, self->on_));
        co_await wait(std::chrono::milliseconds(random(20)));
    }
}

asio::awaitable<void> stream_load::use(std::shared_ptr<stream_load> self, std::shared_ptr<one> it) {
    auto arguments = arguments_of(it->script, it->call.id);
    const auto options = call_options().timeout(it->call.timeout).priority(it->script.priority);
    auto opening = self->pool_.stream(std::string(it->script.tool), std::move(arguments), options);
    it->open.emplace(co_await std::move(opening));
    it->call.given = clock::now();
    if (it->script.takes_input) self->start(feed(it));
    self->stop_later(it);
    co_await read(it, self->log_);
    it->stop.cancel();
}

/// While its reader waits, or is somewhere else.
void stream_load::stop_later(const std::shared_ptr<one>& it) {
    const auto how = it->script.patience;
    if (how != patience_of_reader::drops && how != patience_of_reader::cancels) return;
    it->stop.expires_after(it->script.stops_after);
    it->stop.async_wait([self = shared_from_this(), it, how](const asio::error_code& woken) {
        if (woken || !it->open || it->call.ends > 0) return;
        if (how == patience_of_reader::cancels) {
            it->call.cancelled_at = clock::now();
            it->open->cancel();
        } else {
            it->record.end = stream_end::dropped;
            self->log_->drop(it->call);
            it->open.reset();
        }
    });
}

asio::awaitable<void> stream_load::read(std::shared_ptr<one> it, std::shared_ptr<call_log> log) {
    auto& record = it->record;
    while (record.is_read_whole && it->open) {
        it->call.listens_since = clock::now();
        auto reading = it->open->next();
        const auto item = co_await std::move(reading);
        if (!item) break;
        record.items.push_back(number_of(*item, record));
        if (it->script.reader_pause != 0 && record.items.size() % items_between_pauses == 0) {
            auto resting = wait(std::chrono::milliseconds(it->script.reader_pause));
            co_await std::move(resting);
        }
    }
    if (!it->open) co_return;
    it->call.listens_since = clock::now();
    auto ending = it->open->result();
    const auto end = co_await std::move(ending);
    if (!it->open) co_return;  // dropped meanwhile
    if (end) {
        record.end = stream_end::value;
        log->has_value(it->call, read_value(*end, record));
    } else {
        record.end = end.error() == errc::tool_raised ? stream_end::raised : stream_end::other;
        log->has_failed(it->call, end.error());
    }
    auto looking = it->open->next();
    const auto more = co_await std::move(looking);
    record.more_after_end = more.has_value();
}

asio::awaitable<void> stream_load::feed(std::shared_ptr<one> it) {
    auto& record = it->record;
    for (unsigned i = 0; i < it->script.to_send && it->open; ++i) {
        ++record.given;
        auto sending = it->open->send(item_of(it->script, record.call, i));
        const auto sent = co_await std::move(sending);
        if (!sent) co_return;
        ++record.sent;
        if (it->script.sender_pause != 0 && i % items_between_pauses == 0) {
            auto resting = wait(std::chrono::milliseconds(it->script.sender_pause));
            co_await std::move(resting);
        }
    }
    if (!it->open) co_return;
    record.is_finished = true;
    auto finishing = it->open->finish();
    co_await std::move(finishing);
}

}  // namespace snakepit::chaos
