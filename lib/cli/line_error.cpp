#include "cli/line_error.hpp"

#include "error/names.hpp"

#include <snakepit/value.hpp>

namespace snakepit::cli {

std::string line_error(const error& why, std::uint64_t line) {
    value about = {{"code", detail::name_of(why.code())}, {"message", why.message()}, {"type", nullptr}};
    if (const auto* python = why.python()) {
        about["type"] = python->type;
        about["message"] = python->message;
    }
    const value whole = {{"error", std::move(about)}, {"line", line}};
    return whole.dump(-1, ' ', false, value::error_handler_t::replace);
}

}  // namespace snakepit::cli
