#pragma once
// What a running tool wants of the host, and what the host answers.

#include <snakepit/error.hpp>
#include <snakepit/session_backend.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace snakepit::detail {

namespace asked {
struct read {
    std::vector<std::string> names;
};
struct write {
    std::vector<session_change> changes;
};
struct names {};
struct expire_after {
    std::chrono::milliseconds ttl{};
};
struct close {};
struct host_call {
    std::string tool;
    std::string arguments;  ///< MessagePack
};
}  // namespace asked

/// A question as it came off the wire: whatever a worker may claim.
struct question {
    std::uint64_t number = 0;
    std::uint64_t call = 0;
    std::variant<asked::read, asked::write, asked::names, asked::expire_after, asked::close, asked::host_call> what;
};

/// A write that is not answered.
struct session_write {
    std::uint64_t call = 0;
    std::vector<session_change> changes;
};

namespace found {
struct done {};
struct value {
    std::string bytes;  ///< MessagePack
};
}  // namespace found

/// Nobody wants the call any more that has asked.
struct given_up {
    error why;
};

/// Variables, the versions of changes, names, nothing to tell, the value of a host tool; or why not.
using finding = std::variant<std::vector<stored_variable>, std::vector<std::uint64_t>, std::vector<std::string>,
                             found::done, found::value, error, given_up>;

}  // namespace snakepit::detail
