#include "pool/desk.hpp"

#include "host/tool_run.hpp"
#include "pool/limits.hpp"
#include "pool/nearest_names.hpp"
#include "pool/refusals.hpp"
#include "session/session_use.hpp"
#include "wire/frames.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <asio/co_spawn.hpp>
#include <exception>
#include <type_traits>
#include <utility>

namespace snakepit::detail {
namespace {

template <class T>
finding finding_of(result<T> r) {
    if (!r) return std::move(r).error();
    if constexpr (std::is_void_v<T>) return found::done{};
    else return std::move(*r);
}

error no_session() { return {errc::session_closed, "the call was made without a session"}; }

}  // namespace

desk::desk(asio::any_io_executor on, std::shared_ptr<switchboard> board, std::shared_ptr<session_host> sessions,
           std::shared_ptr<host_registry> tools, std::size_t max_message_bytes)
    : on_(std::move(on)),
      board_(std::move(board)),
      sessions_(std::move(sessions)),
      tools_(std::move(tools)),
      max_message_bytes_(max_message_bytes) {}

std::optional<std::string> desk::take(const std::shared_ptr<line>& from, question q) {
    const auto [who, is_known] = board_->held_by(*from, q.call);
    if (!is_known) return fmt::format("a question of call {}, which was not sent", q.call);
    if (!who) {
        answer(*from, q.number, call_over_error());
    } else if (auto* call = std::get_if<asked::host_call>(&q.what)) {
        call_host(from, who, q.number, std::move(*call));
    } else if (!who->session_held) {
        answer(*from, q.number, no_session());
    } else if (const auto refused = sessions_->refusal()) {
        answer(*from, q.number, *refused);
    } else if (const auto earlier = who->session_held->refused()) {
        answer(*from, q.number, *earlier);
    } else if (const auto& memory = sessions_->memory()) {
        if (const auto* r = std::get_if<asked::read>(&q.what)) read_ahead_.learn(who->tool_index, r->names);
        else if (std::holds_alternative<asked::write>(q.what)) read_ahead_.learn(who->tool_index, {});
        answer(*from, q.number, ask_memory(*memory, who->session_held->id(), q));
    } else {
        asio::co_spawn(on_, ask_backend(shared_from_this(), from, who, std::move(q)), [](std::exception_ptr) {});
    }
    return std::nullopt;
}

std::optional<std::string> desk::take(const line& from, session_write w) const {
    const auto [who, is_known] = board_->held_by(from, w.call);
    if (!is_known) return fmt::format("a write of call {}, which was not sent", w.call);
    if (!who) return fmt::format("a write of call {}, which has ended", w.call);
    if (!who->session_held || !sessions_->memory()) return fmt::format("a write of call {}, without a lease", w.call);
    auto& use = *who->session_held;
    if (use.refused()) return std::nullopt;  // what follows may rest on what was refused
    if (auto refused = sessions_->refusal()) {
        use.refuse(std::move(*refused));
        return std::nullopt;
    }
    auto made =
        sessions_->memory()->write(use.id(), std::move(w.changes), memory_store::clock::now(), &use.lease_of_call());
    if (!made) use.refuse(std::move(made).error());
    return std::nullopt;
}

void desk::lend(out_frame& to, const page::revocations& at, std::uint64_t writes_taken) const {
    if (!sessions_->memory()) return;
    to.writes_taken = writes_taken;
    constexpr std::size_t most = std::size_t{32} << 10;
    auto room = std::min(most, max_frame_bytes - std::min(to.bytes, max_frame_bytes));
    for (std::size_t i = 0; i < to.calls.size(); ++i) {
        const auto& c = *to.calls[i].of;
        if (!c.session_held) continue;
        auto names = read_ahead_.guess(c.tool_index);
        if (!names) continue;
        auto what = c.session_held->lend(*names, at, to.calls[i].id);
        if (!what) continue;
        auto size = item_overhead;
        for (std::size_t n = 0; n < names->size(); ++n)
            size +=
                goes_along(what->variables[n]) ? (*names)[n].size() + size_of(what->variables[n]) + item_overhead : 0;
        if (size > room) continue;
        room -= size;
        to.leases.push_back({i, std::move(names), std::move(*what)});
    }
}

finding desk::ask_memory(memory_store& store, const session_id& of, question& q) const {
    const auto now = memory_store::clock::now();
    if (auto* r = std::get_if<asked::read>(&q.what)) return finding_of(store.read(of, r->names, now));
    // Revokes the call's own lease too: other threads of the tool may write.
    if (auto* w = std::get_if<asked::write>(&q.what)) return finding_of(store.write(of, std::move(w->changes), now));
    if (std::holds_alternative<asked::names>(q.what)) return finding_of(store.names(of, now));
    if (auto* e = std::get_if<asked::expire_after>(&q.what)) return finding_of(store.expire_after(of, e->ttl, now));
    return finding_of(store.close(of, now));
}

asio::awaitable<void> desk::ask_backend(std::shared_ptr<desk> self, std::shared_ptr<line> from, call_ptr of,
                                        question q) {
    auto& backend = self->sessions_->backend();
    finding outcome;
    try {
        auto id = of->session_held->id();
        if (id.incarnation == 0) {
            auto opened = co_await backend.open(id.key);
            if (!opened) {
                self->answer(*from, q.number, std::move(opened).error());
                co_return;
            }
            of->session_held->opened(*opened);
            id = of->session_held->id();
        }
        if (auto* r = std::get_if<asked::read>(&q.what)) {
            outcome = finding_of(co_await backend.read(id, std::move(r->names)));
        } else if (auto* w = std::get_if<asked::write>(&q.what)) {
            outcome = finding_of(co_await backend.write(id, std::move(w->changes)));
        } else if (std::holds_alternative<asked::names>(q.what)) {
            outcome = finding_of(co_await backend.names(id));
        } else if (auto* e = std::get_if<asked::expire_after>(&q.what)) {
            outcome = finding_of(co_await backend.expire_after(id, e->ttl));
        } else {
            outcome = finding_of(co_await backend.close(id));
        }
    } catch (const std::exception& e) {
        outcome = error(errc::backend_failed, fmt::format("the session backend threw: {}", e.what()));
    }
    self->answer(*from, q.number, std::move(outcome));
}

void desk::call_host(const std::shared_ptr<line>& from, const call_ptr& of, std::uint64_t number,
                     asked::host_call what) {
    auto tool = tools_->find(what.tool);
    if (!tool)
        return answer(*from, number,
                      error(errc::unknown_tool, fmt::format("no host tool \"{}\"; {}", what.tool,
                                                            nearest_names(what.tool, tools_->names())))
                          .with_tool(what.tool));
    auto run = std::make_shared<tool_run>(std::move(tool), board_, from, of, number, max_message_bytes_);
    if (board_->add_helper(*of, run)) run->start(std::move(what.arguments));
    else answer(*from, number, call_over_error());
}

void desk::answer(line& to, std::uint64_t number, finding what) const {
    board_->answer(to, number, encode_finding(what));
}

}  // namespace snakepit::detail
