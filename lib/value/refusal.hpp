#pragma once
// Why a value cannot travel, and where inside it.

#include <snakepit/error.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace snakepit::detail {

/** Filled on the way out of a recursion: the reason where it was found, then one step per level above.
    A walk that finds nothing wrong pays nothing for the path. */
class refusal {
public:
    /// @return  false, so that a walk can end with `return refusal.because(...)`
    bool because(errc code, std::string why);
    void inside(std::size_t index);
    void inside(std::string_view key);

    /// `root["rows"][3]: why`. The middle of a long path is left out.
    [[nodiscard]] error at(std::string_view root) const;

private:
    errc code_ = errc::unserializable;
    std::string why_;
    std::vector<std::string> steps_;  // innermost first
};

/// Text in quotes for a message, its end cut off when it is long; what is not UTF-8 in it is replaced.
[[nodiscard]] std::string in_quotes(std::string_view text);

}  // namespace snakepit::detail
