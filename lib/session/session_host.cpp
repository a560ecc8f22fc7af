#include "session/session_host.hpp"

#include "pool/refusals.hpp"
#include "process/fork_shield.hpp"
#include "session/memory_backend.hpp"
#include "session/session_names.hpp"

#include <algorithm>

namespace snakepit::detail {
namespace {

std::shared_ptr<memory_store> memory_of(const session_backend& backend) {
    const auto* const ours = dynamic_cast<const memory_backend*>(&backend);
    return ours ? ours->store() : nullptr;
}

}  // namespace

session_host::session_host(const session_options& options)
    : max_value_bytes_(options.max_value_bytes),
      backend_(options.backend ? options.backend : make_memory_backend(options)),
      memory_(memory_of(*backend_)) {}

std::optional<error> session_host::refusal() const {
    if (fork_shield::in_child()) return forked_error();  // before any mutex: a thread that is no more may hold it
    if (!is_shut_.load(std::memory_order_acquire)) return {};
    const std::lock_guard lock(mutex_);
    return why_;
}

void session_host::expect(std::string_view key) const {
    if (memory_ && !fork_shield::in_child()) memory_->expect(key);
}

void session_host::add(const std::shared_ptr<watch_queue>& watch) {
    std::unique_lock lock(mutex_);
    if (why_) {
        const auto why = *why_;
        lock.unlock();
        return watch->end(why);
    }
    if (watches_.size() >= prune_at_) {
        std::erase_if(watches_, [](const auto& w) { return w.expired(); });
        prune_at_ = std::max<std::size_t>(16, watches_.size() * 2);
    }
    watches_.push_back(watch);
}

void session_host::shut(const error& why) {
    std::unique_lock lock(mutex_);
    if (why_) return;
    why_ = why;
    is_shut_.store(true, std::memory_order_release);
    const auto watches = std::move(watches_);
    lock.unlock();
    for (const auto& w : watches)
        if (const auto live = w.lock()) live->end(why);
}

result<std::shared_ptr<session_use>> session_host::hold(const std::string& key) const {
    if (const auto refused = refusal()) return tl::unexpected(*refused);
    if (const auto bad = refuse_name(key, "the session's key")) return tl::unexpected(*bad);
    if (!memory_) return std::make_shared<session_use>(key);
    const auto now = memory_store::clock::now();
    for (;;) {
        auto opened = memory_->open(key, now);
        if (!opened) return tl::unexpected(std::move(opened).error());
        // Somebody may close it in between: then there is another one.
        if (memory_->pin(*opened, now)) return std::make_shared<session_use>(memory_, std::move(*opened));
    }
}

}  // namespace snakepit::detail
