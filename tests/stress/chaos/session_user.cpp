#include "stress/chaos/session_user.hpp"

#include <algorithm>
#include <functional>
#include <optional>

namespace snakepit::chaos {
namespace {

using kind = session_op::kind;
using outcome = session_op::outcome;

}  // namespace

session_op session_user::begun(kind what, std::string variable) const {
    session_op op;
    op.what = what;
    op.observer = observer_;
    op.key = kind_.key;
    op.session = session_;
    op.variable = std::move(variable);
    op.began = clock::now();
    return op;
}

session_value session_user::value_for(std::string variable) {
    return {std::string(kind_.key), std::move(variable), log_.next_number()};
}

template <class T>
void session_user::note(session_op op, const result<T>& got) {
    op.ended = clock::now();
    if (!got) {
        const auto& e = got.error();
        op.how = e == errc::version_conflict ? outcome::refused : outcome::closed;
        if (e != errc::version_conflict) goes_on_ = false;
        const bool may_end = kind_.may_be_closed || kind_.may_expire;
        const bool is_explained = (e == errc::session_closed && may_end) || e == errc::pool_stopped ||
                                  (e == errc::version_conflict && op.expected);
        if (!is_explained) log_.surprises.push_back({fault::unexpected_error, 0, op.key + ": " + e.full()});
        if (e == errc::pool_stopped) return;  // nothing was done, and the session did not end before
    }
    log_.seen.ops.push_back(std::move(op));
}

asio::awaitable<void> session_user::arrive(ptr self) {
    const auto first = self->log_.seen.ops.size();
    auto looking = get(self, birth);
    const auto version = co_await std::move(looking);
    if (version == 0 && self->goes_on_) {
        auto mark = self->value_for(birth);
        auto naming = set_if(self, mark, 0);
        if (co_await std::move(naming)) {
            self->session_ = mark.number;
        } else if (self->goes_on_) {
            auto again = get(self, birth);
            co_await std::move(again);
        }
    }
    auto& ops = self->log_.seen.ops;
    for (auto i = first; i < ops.size(); ++i)
        if (ops[i].observer == self->observer_) ops[i].session = self->session_;
}

asio::awaitable<std::uint64_t> session_user::get(ptr self, std::string name) {
    auto op = self->begun(kind::read, name);
    auto getting = self->on_.get(name);
    const auto got = co_await std::move(getting);
    if (got && *got) {
        op.version = (*got)->version;
        const auto& data = (*got)->data;
        op.value = parse(data.is_string() ? data.get_ref<const std::string&>() : "");
        if (!op.value) op.strange = data.dump();
        if (name == birth && op.value) self->session_ = op.value->number;
    }
    const auto version = op.version;
    self->note(std::move(op), got);
    co_return version;
}

asio::awaitable<void> session_user::set(ptr self, std::string name) {
    auto op = self->begun(kind::write, name);
    op.value = self->value_for(name);
    auto setting = self->on_.set(name, to_text(*op.value));
    const auto got = co_await std::move(setting);
    if (got) op.version = *got;
    self->note(std::move(op), got);
}

asio::awaitable<bool> session_user::set_if(ptr self, session_value what, std::uint64_t expected) {
    auto op = self->begun(kind::write, what.variable);
    op.expected = expected;
    auto setting = self->on_.compare_and_set(what.variable, expected, to_text(what));
    op.value = std::move(what);
    const auto got = co_await std::move(setting);
    if (got) op.version = *got;
    const bool done = got.has_value();
    self->note(std::move(op), got);
    co_return done;
}

asio::awaitable<void> session_user::compare_and_set(ptr self, std::string name) {
    auto looking = get(self, name);
    const auto version = co_await std::move(looking);
    if (!self->goes_on_) co_return;
    auto setting = set_if(self, self->value_for(name), version);
    co_await std::move(setting);
}

asio::awaitable<void> session_user::count_up(ptr self) {
    auto op = self->begun(kind::write, counter);
    auto mine = self->value_for(counter);
    const std::function<value(std::optional<value>)> one_more = [&mine](const std::optional<value>& present) {
        const auto before = present && present->is_string() ? parse(present->get_ref<const std::string&>())
                                                            : std::optional<session_value>();
        mine.count = before ? before->count + 1 : 1;
        return value(to_text(mine));
    };
    auto counting = self->on_.update(counter, one_more);
    const auto got = co_await std::move(counting);
    op.value = mine;
    if (got) op.version = got->version;
    self->note(std::move(op), got);
}

asio::awaitable<void> session_user::erase(ptr self, std::string name) {
    auto op = self->begun(kind::erase, name);
    auto erasing = self->on_.erase(name);
    const auto got = co_await std::move(erasing);
    if (got && !*got) op.what = kind::read;  // to erase nothing is to see that there is nothing
    self->note(std::move(op), got);
}

asio::awaitable<void> session_user::expire(ptr self, std::chrono::milliseconds ttl) {
    auto op = self->begun(kind::expire);
    op.ttl = ttl;
    auto telling = self->on_.expire_after(ttl);
    const auto got = co_await std::move(telling);
    self->note(std::move(op), got);
}

asio::awaitable<void> session_user::close(ptr self) {
    auto op = self->begun(kind::close);
    auto closing = self->on_.close();
    const auto got = co_await std::move(closing);
    self->note(std::move(op), got);
    self->goes_on_ = false;
}

asio::awaitable<void> session_user::do_something(ptr self, dice& random) {
    const auto all = session_variables();
    std::string name(all[random(static_cast<unsigned>(all.size()) - 1)]);  // the counter is the last
    const auto what = random(100);
    if (what < 8 && self->kind_.may_expire) {
        auto one = expire(self, std::chrono::milliseconds(random.between(1, 10)));
        co_await std::move(one);
    } else if (what < 12 && self->kind_.may_be_closed) {
        auto one = close(self);
        co_await std::move(one);
    } else if (what < 16) {
        auto one = erase(self, std::string(erasable));
        co_await std::move(one);
    } else if (what < 30) {
        auto one = count_up(self);
        co_await std::move(one);
    } else if (what < 50) {
        auto one = set(self, std::move(name));
        co_await std::move(one);
    } else if (what < 65) {
        auto one = compare_and_set(self, std::move(name));
        co_await std::move(one);
    } else {
        auto one = get(self, random(4) == 0 ? std::string(counter) : std::move(name));
        co_await std::move(one);
    }
}

}  // namespace snakepit::chaos
