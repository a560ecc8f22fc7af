#include "telemetry/rfc3339.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace snakepit::detail {

std::string rfc3339(std::chrono::system_clock::time_point t) {
    const auto ms = std::chrono::floor<std::chrono::milliseconds>(t);
    const auto s = std::chrono::floor<std::chrono::seconds>(ms);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(s)),
                       (ms - s).count());
}

}  // namespace snakepit::detail
