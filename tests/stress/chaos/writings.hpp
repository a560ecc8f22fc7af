#pragma once
// Who wrote which value, as far as it can be known from all that was seen.

#include "stress/chaos/session_history.hpp"

#include <cstdint>
#include <unordered_map>

namespace snakepit::chaos {

/// One write, with what readers of its value have learned.
struct writing {
    const session_op* by = nullptr;                 ///< of several attempts the one that was done, or may have been
    std::uint64_t session = 0;                      ///< 0: not known
    std::uint64_t version = 0;                      ///< 0: not known
    clock::time_point settled = session_op::never;  ///< by when it had been done: acknowledged, or seen

    [[nodiscard]] bool may_be_done() const {
        return by->how == session_op::outcome::done || by->how == session_op::outcome::unknown;
    }
    [[nodiscard]] bool is_acknowledged() const { return by->how == session_op::outcome::done; }
};

/// By their numbers.
class writings {
public:
    explicit writings(const session_history& of);

    /// Null: nobody has tried to write such a value.
    [[nodiscard]] const writing* find(std::uint64_t number) const {
        const auto found = all_.find(number);
        return found == all_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] auto begin() const { return all_.begin(); }
    [[nodiscard]] auto end() const { return all_.end(); }

private:
    void add(const session_op& write);
    void learn_from(const session_op& read);

    std::unordered_map<std::uint64_t, writing> all_;
};

}  // namespace snakepit::chaos
