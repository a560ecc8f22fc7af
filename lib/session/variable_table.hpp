#pragma once
// The variables of one session.

#include "session/name_index.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace snakepit::detail {

/// A variable of a session. A cache line of its own.
struct variable_entry {
    std::string name;
    std::shared_ptr<const std::string> bytes;
    std::uint64_t version = 0;
    std::uint32_t hash = 0;  // of the name; not set while there are few
};

/** In one piece of memory. Few are looked through, of which a session mostly has no more; with many there is an index.
    Pointers into it live until the next change. Not thread-safe. */
class variable_table {
public:
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
    [[nodiscard]] auto end() const noexcept { return entries_.end(); }

    [[nodiscard]] variable_entry* find(std::string_view name) noexcept {
        if (!index_) {
            for (auto& e : entries_)
                if (e.name == name) return &e;
            return nullptr;
        }
        const auto at = index_->find(short_hash(name), [&](std::uint32_t i) { return entries_[i].name == name; });
        return at == name_index::none ? nullptr : &entries_[at];
    }

    /// There is none of this name.
    void add(std::string name, std::shared_ptr<const std::string> bytes, std::uint64_t version) {
        if (!index_ && entries_.size() == few) make_index();
        entries_.push_back({std::move(name), std::move(bytes), version});
        if (!index_) return;
        auto& e = entries_.back();
        e.hash = short_hash(e.name);
        index_->insert(e.hash, static_cast<std::uint32_t>(entries_.size() - 1));
    }

    /// @param e  one of these
    void erase(variable_entry& e) noexcept {
        const auto at = static_cast<std::uint32_t>(&e - entries_.data());
        const auto last = static_cast<std::uint32_t>(entries_.size() - 1);
        if (index_) {
            index_->erase(e.hash, at);
            if (at != last) index_->renumber(entries_[last].hash, last, at);
        }
        if (at != last) e = std::move(entries_[last]);
        entries_.pop_back();
    }

private:
    static constexpr std::size_t few = 8;
    static std::uint32_t short_hash(std::string_view name) noexcept {
        return static_cast<std::uint32_t>(hash_of(name));
    }

    void make_index() {
        auto index = std::make_unique<name_index>();
        for (std::uint32_t i = 0; i < entries_.size(); ++i) {
            entries_[i].hash = short_hash(entries_[i].name);
            index->insert(entries_[i].hash, i);
        }
        index_ = std::move(index);
    }

    std::vector<variable_entry> entries_;
    std::unique_ptr<name_index> index_;
};

}  // namespace snakepit::detail
