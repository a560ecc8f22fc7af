#include "value/refusal.hpp"

#include "value/utf8.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace snakepit::detail {
namespace {

constexpr std::size_t longest_quote = 80;
constexpr std::size_t steps_shown_first = 12;
constexpr std::size_t steps_shown_last = 11;

}  // namespace

std::string in_quotes(std::string_view text) {
    using json = nlohmann::json;
    std::string shown(text.substr(0, longest_quote));
    const bool is_cut = shown.size() < text.size();
    // A character that the cut went through would be shown as a wrong one.
    for (int i = 0; is_cut && i < 3 && !is_utf8(shown); ++i) shown.pop_back();
    shown = json(std::move(shown)).dump(-1, ' ', false, json::error_handler_t::replace);
    if (is_cut) shown.insert(shown.size() - 1, "...");
    return shown;
}

bool refusal::because(errc code, std::string why) {
    code_ = code;
    why_ = std::move(why);
    return false;
}

void refusal::inside(std::size_t index) { steps_.push_back(fmt::format("[{}]", index)); }
void refusal::inside(std::string_view key) { steps_.push_back(fmt::format("[{}]", in_quotes(key))); }

error refusal::at(std::string_view root) const {
    std::string text(root);
    for (std::size_t i = 0; i < steps_.size(); ++i) {
        if (i == steps_shown_first && steps_.size() > steps_shown_first + steps_shown_last + 1) {
            text += "[...]";
            i = steps_.size() - steps_shown_last;
        }
        text += steps_[steps_.size() - 1 - i];
    }
    text += ": ";
    text += why_;
    return {code_, std::move(text)};
}

}  // namespace snakepit::detail
