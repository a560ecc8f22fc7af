#include "host/call_scope.hpp"

namespace snakepit::detail {
namespace {
thread_local const outer_call* current = nullptr;
}  // namespace

const outer_call* current_outer_call() noexcept { return current; }

call_scope::call_scope(const outer_call* of) noexcept : before_(std::exchange(current, of)) {}
call_scope::~call_scope() { current = before_; }

}  // namespace snakepit::detail
