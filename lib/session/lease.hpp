#pragma once
// What a session lends to a call: its worker knows some variables, and that nobody has changed the session since.

#include "pool/intrusive_list.hpp"
#include "process/page.hpp"

#include <snakepit/session_backend.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace snakepit::detail {

/// Of one call. What is changed while the store has it in its list, the store changes, under its mutex.
struct lease {
    list_hook<lease> hook;
    std::optional<page::revocations> at;  ///< of the worker
    std::uint64_t call = 0;               ///< its id there
};

[[nodiscard]] inline std::size_t size_of(const stored_variable& v) noexcept { return v.bytes ? v.bytes->size() : 0; }
/// Large ones are sent when they are asked for.
[[nodiscard]] inline bool goes_along(const stored_variable& v) noexcept { return size_of(v) <= 1'024; }

/// What goes along with it, as of one moment.
struct lent {
    std::vector<stored_variable> variables;  ///< in the order in which they were named
    std::size_t room_variables = 0;          ///< so many more fit into the session
    std::size_t room_bytes = 0;              ///< so many more, of names and values
    std::size_t max_value_bytes = 0;
};

}  // namespace snakepit::detail
