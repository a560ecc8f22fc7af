#pragma once
// The variables of one session.

#include "session/kept_value.hpp"
#include "session/name_index.hpp"

#include <absl/container/inlined_vector.h>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace snakepit::detail {

/// A variable of a session: a cache line.
struct variable_entry {
    std::string name;
    kept_value value;
    std::uint64_t version;
};
static_assert(sizeof(variable_entry) == 64);

/** In one piece of memory: the table itself, as long as there are very few. Few are looked through; with many there is
    an index.
    Pointers into it live until the next change. Not thread-safe. */
class variable_table {
public:
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    [[nodiscard]] auto begin() const noexcept { return entries_.begin(); }
    [[nodiscard]] auto end() const noexcept { return entries_.end(); }

    /// Has the first of them fetched into the cache, if they are elsewhere.
    void prefetch() const noexcept {
        if (entries_.size() <= inside) return;
        for (std::size_t i = 0; i < 4; ++i) __builtin_prefetch(entries_.data() + i);
    }

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
        entries_.push_back({std::move(name), kept_value(std::move(bytes)), version});
        if (index_) index_->insert(short_hash(entries_.back().name), static_cast<std::uint32_t>(entries_.size() - 1));
    }

    /// @param e  one of these
    void erase(variable_entry& e) noexcept {
        const auto at = static_cast<std::uint32_t>(&e - entries_.data());
        const auto last = static_cast<std::uint32_t>(entries_.size() - 1);
        if (index_) {
            index_->erase(short_hash(e.name), at);
            if (at != last) index_->renumber(short_hash(entries_[last].name), last, at);
        }
        if (at != last) e = std::move(entries_[last]);
        entries_.pop_back();
    }

private:
    static constexpr std::size_t inside = 2;  // lie where the table lies
    static constexpr std::size_t few = 8;     // are looked through
    static std::uint32_t short_hash(std::string_view name) noexcept {
        return static_cast<std::uint32_t>(hash_of(name));
    }

    void make_index() {
        auto index = std::make_unique<name_index>();
        for (std::uint32_t i = 0; i < entries_.size(); ++i) index->insert(short_hash(entries_[i].name), i);
        index_ = std::move(index);
    }

    std::unique_ptr<name_index> index_;
    absl::InlinedVector<variable_entry, inside> entries_;
};

}  // namespace snakepit::detail
