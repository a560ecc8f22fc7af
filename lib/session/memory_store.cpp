#include "session/memory_store.hpp"

#include "session/session_names.hpp"

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace snakepit::detail {
namespace {

/// Not before the session has expired.
std::uint64_t tick_of_end(memory_store::time_point at) {
    return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(at.time_since_epoch()).count());
}
std::uint64_t tick_of(memory_store::time_point now) {
    return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count());
}

error closed_error(const session_id& id) {
    return {errc::session_closed, fmt::format("the session \"{}\" was closed or has expired", id.key)};
}

constexpr std::chrono::milliseconds longest_ttl = std::chrono::hours(24) * 10'000;

/// What a pool has checked; others may say what they like.
session_options kept(session_options options) {
    options.max_session_bytes = std::min<std::size_t>(options.max_session_bytes, std::size_t{1} << 30);
    options.ttl = std::clamp(options.ttl, std::chrono::milliseconds(0), longest_ttl);
    options.backend = nullptr;
    return options;
}

}  // namespace

/// Who has to hear of changes.
struct onlookers {
    std::shared_ptr<watch_group> watchers;  // null: there were none
    intrusive_list<lease, &lease::hook> leases;

    [[nodiscard]] watch_group* watched_by() const { return watchers && !watchers->empty() ? watchers.get() : nullptr; }
    void revoke(const lease* except) {
        for (lease* l = leases.front(); l;) {
            lease* const next = l->hook.next;
            if (l != except) {
                l->at->add(l->call);
                leases.erase(*l);
            }
            l = next;
        }
    }
};

/// Four cache lines, in the order in which operations come to them; the first two variables are the last two lines.
struct alignas(64) memory_store::session {
    std::uint64_t incarnation = 0;  // 0: not in use
    std::uint32_t hash = 0;         // of the key
    std::uint32_t pins = 0;
    time_point expires = never;
    std::chrono::milliseconds ttl{0};  // 0: never
    std::string key{};

    list_hook<session> wheel_hook{};
    std::uint64_t versions = 0;  // given so far
    std::uint32_t bytes = 0;
    std::uint16_t wheel_slot = 0;
    std::unique_ptr<onlookers> seen_by{};  // null: there were none
    variable_table variables{};

    /// Of one that is not in use.
    [[nodiscard]] std::uint32_t& next_free() noexcept { return hash; }
    [[nodiscard]] bool has_expired(time_point now) const noexcept { return pins == 0 && expires <= now; }
    [[nodiscard]] session_id id() const { return {key, incarnation}; }
    [[nodiscard]] onlookers& onlookers_of() {
        if (!seen_by) seen_by = std::make_unique<onlookers>();
        return *seen_by;
    }
};

struct alignas(64) memory_store::shard {
    std::mutex mutex;
    slab<session> sessions;
    name_index by_key;
    std::uint64_t opened = 0;
    std::unique_ptr<expiry_wheel<session>> wheel;  // made for the first session that may expire
};

/// An operation's stay in a shard, under its mutex. What has to wait for the mutex to be free is done at its end: what
/// ended sessions held is freed, and watchers are told.
class memory_store::visit {
public:
    visit(memory_store& store, shard& where) : in(where), store_(store), lock_(where.mutex) {}
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() { leave(); }

    /// @return  null when it has ended
    session* find(const session_id& id, time_point now) {
        const auto slot = static_cast<std::uint32_t>(id.incarnation >> shard_bits) & ((1U << slot_bits) - 1);
        auto* const s = fetched(in.sessions.at(slot));
        if (!s || s->incarnation != id.incarnation || id.incarnation == 0) return nullptr;
        if (s->hash != static_cast<std::uint32_t>(hash_of(id.key))) return nullptr;
        return alive(*s, now);
    }
    session* find(std::string_view key, std::uint32_t hash, time_point now) {
        const auto slot = in.by_key.find(hash, [&](std::uint32_t i) { return fetched(in.sessions.at(i))->key == key; });
        return slot == name_index::none ? nullptr : alive(*in.sessions.at(slot), now);
    }
    void bury(variable_table variables) {
        if (variables.size() != 0) dead_.push_back(std::move(variables));
    }
    void tell(std::shared_ptr<watch_group> whom) { told_.push_back(std::move(whom)); }
    void set_alarm(time_point at) noexcept { alarm_ = std::min(alarm_, at); }

    void leave() {
        if (!lock_.owns_lock()) return;
        lock_.unlock();
        dead_.clear();
        for (const auto& group : told_) group->tell();
        if (alarm_ != never) store_.set_alarm(alarm_);
    }

    shard& in;

private:
    /// All of its cache lines at once, instead of one after the other.
    static session* fetched(session* s) noexcept {
        if (!s) return s;
        for (std::size_t at = 64; at < sizeof(session); at += 64)
            __builtin_prefetch(reinterpret_cast<const char*>(s) + at);
        return s;
    }
    session* alive(session& s, time_point now) {
        if (!s.has_expired(now)) {
            s.variables.prefetch();
            return &s;
        }
        store_.end(*this, s);
        return nullptr;
    }

    memory_store& store_;
    std::unique_lock<std::mutex> lock_;
    std::vector<variable_table> dead_;
    std::vector<std::shared_ptr<watch_group>> told_;
    time_point alarm_ = never;
};

memory_store::memory_store(const session_options& options)
    : limits_(kept(options)), shards_(std::make_unique<std::array<shard, std::size_t{1} << shard_bits>>()) {}
memory_store::~memory_store() = default;

// ---- sessions that come and go

memory_store::shard& memory_store::shard_of(const session_id& id) const noexcept {
    return (*shards_)[id.incarnation & ((1U << shard_bits) - 1)];
}

void memory_store::expect(std::string_view key) {
    const auto hash = hash_of(key);
    auto& in = (*shards_)[hash >> (64 - shard_bits)];
    const std::lock_guard lock(in.mutex);
    in.by_key.prefetch(static_cast<std::uint32_t>(hash));
}

result<session_id> memory_store::open(std::string key, time_point now) {
    if (auto wrong = refuse_name(key, "the session's key")) return tl::unexpected(std::move(*wrong));
    const auto whole = hash_of(key);
    const auto hash = static_cast<std::uint32_t>(whole);
    const auto number = static_cast<unsigned>(whole >> (64 - shard_bits));
    for (bool swept = false;; swept = true) {
        visit v(*this, (*shards_)[number]);
        if (auto* const s = v.find(key, hash, now)) {
            use(v, *s, now);
            return session_id{std::move(key), s->incarnation};
        }
        if (count_.fetch_add(1, std::memory_order_relaxed) < limits_.max_sessions)
            return make(v, std::move(key), hash, number, now);
        count_.fetch_sub(1, std::memory_order_relaxed);
        v.leave();
        if (swept)
            return tl::unexpected(
                error(errc::too_many_sessions, fmt::format("there are {} sessions already", limits_.max_sessions)));
        sweep(now);  // some may have expired, and nobody has noticed
    }
}

result<session_id> memory_store::make(visit& v, std::string key, std::uint32_t hash, unsigned number, time_point now) {
    if (!v.in.wheel && limits_.ttl.count() != 0) v.in.wheel = std::make_unique<expiry_wheel<session>>();
    const auto slot = v.in.sessions.take();
    if (slot >= 1U << slot_bits) {  // by chance, with 100 million sessions
        v.in.sessions.give_back(slot);
        count_.fetch_sub(1, std::memory_order_relaxed);
        return tl::unexpected(error(errc::too_many_sessions, "one part of the store is full"));
    }
    v.in.by_key.insert(hash, slot);
    auto& s = *v.in.sessions.at(slot);
    s.incarnation = (++v.in.opened << (slot_bits + shard_bits)) | (std::uint64_t{slot} << shard_bits) | number;
    s.hash = hash;
    s.key = std::move(key);
    s.ttl = limits_.ttl;
    use(v, s, now);
    return s.id();
}

void memory_store::end(visit& v, session& s) {
    const auto slot = static_cast<std::uint32_t>(s.incarnation >> shard_bits) & ((1U << slot_bits) - 1);
    if (s.seen_by) {
        s.seen_by->revoke(nullptr);
        if (auto& watchers = s.seen_by->watchers) {
            watchers->queue({session_event::what::closed});
            v.tell(std::move(watchers));
        }
        s.seen_by.reset();
    }
    if (s.wheel_hook.linked) v.in.wheel->erase(s);
    v.in.by_key.erase(s.hash, slot);
    v.bury(std::move(s.variables));
    v.in.sessions.give_back(slot);
    count_.fetch_sub(1, std::memory_order_relaxed);
}

result<void> memory_store::close(const session_id& id, time_point now) {
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    end(v, *s);
    return {};
}

// ---- time

void memory_store::use(visit& v, session& s, time_point now) {
    if (s.ttl.count() == 0) return;
    s.expires = std::max(s.expires == never ? now : s.expires, now + s.ttl);
    if (!s.wheel_hook.linked) look_at_by(v, s);
}

void memory_store::look_at_by(visit& v, session& s) {
    v.in.wheel->insert(s, tick_of_end(s.expires));
    v.set_alarm(s.expires);
}

result<void> memory_store::expire_after(const session_id& id, std::chrono::milliseconds ttl, time_point now) {
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    if (s->wheel_hook.linked) v.in.wheel->erase(*s);
    s->ttl = std::clamp(ttl, std::chrono::milliseconds(0), longest_ttl);
    s->expires = never;
    if (!v.in.wheel) v.in.wheel = std::make_unique<expiry_wheel<session>>();
    use(v, *s, now);
    return {};
}

result<void> memory_store::touch(const session_id& id, time_point now) {
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    use(v, *s, now);
    return {};
}

result<void> memory_store::pin(const session_id& id, time_point now) {
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    use(v, *s, now);
    ++s->pins;
    return {};
}

void memory_store::unpin(const session_id& id, time_point now) {
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s || s->pins == 0) return;
    use(v, *s, now);
    --s->pins;
}

void memory_store::sweep(time_point now, std::size_t budget) {
    {
        const std::lock_guard lock(alarm_mutex_);
        alarm_at_.store(never.time_since_epoch().count(), std::memory_order_relaxed);
    }
    constexpr std::size_t at_once = 64;  // under one mutex
    auto next = never;
    for (auto& in : *shards_) {
        for (;;) {
            visit v(*this, in);
            if (!in.wheel) break;
            auto part = std::min(budget, at_once);
            budget -= part;
            const bool all = in.wheel->advance(tick_of(now), part, [&](session& s) {
                if (s.has_expired(now)) end(v, s);
                else if (s.pins == 0) in.wheel->insert(s, tick_of_end(s.expires));  // else unpin() does it
            });
            budget += part;
            if (!all && budget != 0) continue;
            const auto tick = in.wheel->next();
            if (!all) next = now;
            else if (tick != in.wheel->never) next = std::min(next, time_point(std::chrono::milliseconds(tick)));
            break;
        }
    }
    if (next != never) set_alarm(next);
}

std::shared_ptr<const memory_store::bell> memory_store::on_alarm(bell ring) {
    auto made = std::make_shared<const bell>(std::move(ring));
    std::unique_lock lock(alarm_mutex_);
    std::erase_if(bells_, [](const auto& b) { return b.expired(); });
    bells_.push_back(made);
    const auto at = time_point(clock::duration(alarm_at_.load(std::memory_order_relaxed)));
    lock.unlock();
    if (at != never) (*made)(at);
    return made;
}

void memory_store::set_alarm(time_point at) {
    const auto ticks = at.time_since_epoch().count();
    if (ticks >= alarm_at_.load(std::memory_order_relaxed)) return;
    std::unique_lock lock(alarm_mutex_);
    if (ticks >= alarm_at_.load(std::memory_order_relaxed)) return;
    alarm_at_.store(ticks, std::memory_order_relaxed);
    const auto bells = bells_;
    lock.unlock();
    for (const auto& b : bells)
        if (const auto ring = b.lock()) (*ring)(at);
}

// ---- variables

result<std::vector<stored_variable>> memory_store::read(const session_id& id, std::span<const std::string> names,
                                                        time_point now) {
    for (const auto& name : names)
        if (auto wrong = refuse_name(name, "the variable's name")) return tl::unexpected(std::move(*wrong));
    std::vector<stored_variable> found(names.size());
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    use(v, *s, now);
    for (std::size_t i = 0; i < names.size(); ++i)
        if (const auto* e = s->variables.find(names[i])) found[i] = {e->value.bytes(), e->version};
    return found;
}

result<std::vector<std::string>> memory_store::names(const session_id& id, time_point now) {
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    use(v, *s, now);
    std::vector<std::string> all;
    all.reserve(s->variables.size());
    for (const auto& e : s->variables) all.push_back(e.name);
    return all;
}

namespace {

/// Names and sizes, which need no mutex.
std::optional<error> refuse_form(std::span<const session_change> changes, const session_options& limits) {
    for (const auto& c : changes) {
        if (auto wrong = refuse_name(c.name, "the variable's name")) return wrong;
        if (c.bytes && c.bytes->size() > limits.max_value_bytes)
            return error(errc::value_too_large, fmt::format("{} has {} bytes; {} are allowed", c.name, c.bytes->size(),
                                                            limits.max_value_bytes));
    }
    if (changes.size() < 2) return {};
    absl::flat_hash_set<std::string_view> seen(changes.size());
    for (const auto& c : changes)
        if (!seen.insert(c.name).second)
            return error(errc::invalid_name, fmt::format("{} is there twice in one change", c.name));
    return {};
}

}  // namespace

/// @return  the bytes that the session will have, or why the changes cannot be made
result<std::size_t> memory_store::bytes_after(session& s, std::span<const session_change> changes) const {
    auto variables = s.variables.size();
    std::size_t bytes = s.bytes;
    for (const auto& c : changes) {
        const auto* const e = s.variables.find(c.name);
        const auto version = e ? e->version : 0;
        if (c.expected && *c.expected != version)
            return tl::unexpected(
                error(errc::version_conflict, fmt::format("{} has version {}, not {}", c.name, version, *c.expected)));
        if (e) {
            --variables;
            bytes -= c.name.size() + e->value.size();
        }
        if (c.bytes) {
            ++variables;
            bytes += c.name.size() + c.bytes->size();
        }
    }
    if (variables > limits_.max_variables)
        return tl::unexpected(
            error(errc::too_many_variables, fmt::format("the session \"{}\" would have {} variables; {} are allowed",
                                                        s.key, variables, limits_.max_variables)));
    if (bytes > limits_.max_session_bytes)
        return tl::unexpected(
            error(errc::session_too_large, fmt::format("the session \"{}\" would have {} bytes; {} are allowed", s.key,
                                                       bytes, limits_.max_session_bytes)));
    return bytes;
}

result<std::vector<std::uint64_t>> memory_store::write(const session_id& id, std::vector<session_change> changes,
                                                       time_point now, const lease* own) {
    if (auto wrong = refuse_form(changes, limits_)) return tl::unexpected(std::move(*wrong));
    std::vector<std::uint64_t> versions(changes.size());
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    use(v, *s, now);
    const auto bytes = bytes_after(*s, changes);
    if (!bytes) return tl::unexpected(bytes.error());
    s->bytes = static_cast<std::uint32_t>(*bytes);
    auto* const watched = s->seen_by ? s->seen_by->watched_by() : nullptr;
    if (s->seen_by) s->seen_by->revoke(own);
    for (std::size_t i = 0; i < changes.size(); ++i) {
        auto& c = changes[i];
        auto* const e = s->variables.find(c.name);
        if (!c.bytes && !e) continue;
        versions[i] = ++s->versions;
        if (watched)
            watched->queue(
                {c.bytes ? session_event::what::changed : session_event::what::erased, c.name, c.bytes, versions[i]});
        // Old values are freed with the changes, outside of the mutex.
        if (!c.bytes) {
            c.bytes = e->value.release();
            s->variables.erase(*e);
        } else if (e) {
            e->version = versions[i];
            auto old = e->value.release();
            e->value = kept_value(std::move(c.bytes));
            c.bytes = std::move(old);
        } else {
            s->variables.add(std::move(c.name), std::move(c.bytes), versions[i]);
        }
    }
    if (watched) v.tell(s->seen_by->watchers);
    return versions;
}

result<std::shared_ptr<void>> memory_store::watch(const session_id& id, watch_group::teller tell, time_point now) {
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return tl::unexpected(closed_error(id));
    auto& watchers = s->onlookers_of().watchers;
    if (!watchers) watchers = std::make_shared<watch_group>();
    return watchers->add(std::move(tell));
}

// ---- leases

std::optional<lent> memory_store::lend(const session_id& id, std::span<const std::string> names, lease& to,
                                       time_point now) {
    lent all;
    all.variables.resize(names.size());
    all.max_value_bytes = limits_.max_value_bytes;
    visit v(*this, shard_of(id));
    auto* const s = v.find(id, now);
    if (!s) return std::nullopt;
    for (std::size_t i = 0; i < names.size(); ++i)
        if (const auto* e = s->variables.find(names[i])) all.variables[i] = {e->value.bytes(), e->version};
    all.room_variables = limits_.max_variables - s->variables.size();
    all.room_bytes = limits_.max_session_bytes - s->bytes;
    auto& leases = s->onlookers_of().leases;
    if (!to.hook.linked) leases.push_back(to);
    return all;
}

void memory_store::take_back(const session_id& id, lease& from) {
    const visit v(*this, shard_of(id));
    if (!from.hook.linked) return;  // revoked, as by the session's end
    const auto slot = static_cast<std::uint32_t>(id.incarnation >> shard_bits) & ((1U << slot_bits) - 1);
    v.in.sessions.at(slot)->seen_by->leases.erase(from);
}

}  // namespace snakepit::detail
