#include "cli/top_sampler.hpp"

#include <fmt/format.h>
#include <array>

namespace snakepit::cli {
namespace {

constexpr std::array commands{"status", "workers", "metrics"};
constexpr auto patience = std::chrono::seconds(2);  // before it is told that there is no answer

}  // namespace

top_sampler::top_sampler(admin_client pool) : pool_(std::move(pool)) {}

admin_result<void> top_sampler::begin() {
    if (is_waiting_) return {};
    if (!is_connected_) {
        if (auto up = connect(); !up || !is_connected_) return up;
    }
    replies_.clear();
    for (const auto* command : commands)
        if (!pool_.send({{"command", command}})) {
            is_connected_ = false;
            return {};
        }
    is_waiting_ = true;
    asked_ = clock::now();
    return {};
}

admin_result<void> top_sampler::connect() {
    auto made = admin_client::connect(pool_.path());
    if (!made && made.error().is_gone()) return tl::unexpected(made.error());
    is_connected_ = made.has_value();
    if (made) pool_ = std::move(*made);
    else why_ = made.error().message;
    return {};
}

void top_sampler::hear(top_history& into) {
    constexpr auto at_once = std::chrono::milliseconds(0);
    while (is_waiting_) {
        auto reply = pool_.hear(at_once);
        if (!reply) {
            if (!reply.error().is_gone()) return;  // it may still come
            is_waiting_ = is_connected_ = false;
            return;
        }
        replies_.push_back(std::move(*reply));
        if (replies_.size() == commands.size()) complete(into);
        else if (replies_.size() == 1 && failure_in(replies_[0])) {
            // One operator too many, or a pool that ends: it hangs up, or has nothing more to say.
            why_ = failure_in(replies_[0])->message;
            is_waiting_ = is_connected_ = false;
        }
    }
}

void top_sampler::complete(top_history& into) {
    is_waiting_ = false;
    const auto& workers = replies_[1];
    const auto& metrics = replies_[2];
    if (const auto why = failure_in(workers)) return void(why_ = why->message);
    into.add(replies_[0], workers.at("workers"),
             failure_in(metrics) ? std::nullopt : std::optional(metrics.at("metrics").get<std::string>()));
    why_.clear();
}

std::string top_sampler::trouble() const {
    if (!why_.empty()) return why_;
    const auto silent = std::chrono::floor<std::chrono::seconds>(clock::now() - asked_);
    if (!is_waiting_ || silent < patience) return {};
    return fmt::format("process {} does not answer since {} s", pool_.pid(), silent.count());
}

}  // namespace snakepit::cli
