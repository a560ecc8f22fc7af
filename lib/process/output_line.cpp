#include "process/output_line.hpp"

#include "telemetry/trace_context.hpp"

#include <charconv>

namespace snakepit::detail {
namespace {
constexpr char mark = '\x1d';
constexpr std::size_t longest_tool = 200;
}  // namespace

output_line output_line::parse(std::string_view line) noexcept {
    output_line untagged;
    untagged.text = line;
    if (line.empty() || line.front() != mark) return untagged;
    const auto end = line.find(mark, 1);
    if (end == line.npos) return untagged;
    const auto tag = line.substr(1, end - 1);
    const auto first = tag.find(';');
    const auto last = tag.rfind(';');
    if (first == tag.npos || first == last) return untagged;
    output_line made;
    made.text = line.substr(end + 1);
    const auto [digits_end, failed] = std::from_chars(tag.data(), tag.data() + first, made.call);
    made.tool = tag.substr(first + 1, last - first - 1);
    made.trace_id = tag.substr(last + 1);
    const bool is_valid = failed == std::errc() && digits_end == tag.data() + first && made.call != 0 &&
                          made.tool.size() <= longest_tool && (made.trace_id.empty() || is_span_id(made.trace_id, 32));
    return is_valid ? made : untagged;
}

}  // namespace snakepit::detail
