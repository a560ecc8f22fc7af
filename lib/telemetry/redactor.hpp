#pragma once
// Keeps secrets out of logs.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace snakepit::detail {

/** Replaces what stands under keys that look like secrets by "[redacted]". A
    secret without a name is not found, but for private keys and long tokens behind "Bearer". Where it is not clear how
   far a value goes, too much is replaced.

    Keys are compared without regard to case, and "-", "_" and a space are the same. Takes time in proportion to the
    text; what has been redacted is not changed when it is again.

    @par Thread safety  const members from any thread */
class redactor {
public:
    /// @param keys  parts of keys; an empty one is none. Without any nothing is replaced
    explicit redactor(const std::vector<std::string>& keys);

    /** In `key=value`, `key: value`, `"key": "value"`, `--key value` and the like, and what stands before the host of
        a URL, private keys in PEM, and "Bearer" with what looks like its token. A value that is neither in quotes nor
       in brackets goes on to the next white space; "Authorization" and "Cookie" to the end of their line. */
    [[nodiscard]] std::string text(std::string line) const;
    static constexpr std::string_view instead = "[redacted]";

    /// Of text that comes line by line. @param in_private_key  a key in PEM has begun in a line before, and goes on
    [[nodiscard]] std::string text(std::string line, bool& in_private_key) const;
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> fields(
        std::vector<std::pair<std::string, std::string>> all) const;
    [[nodiscard]] bool is_secret(std::string_view key) const;
    /// Whether private keys begin, go on or end in text that nobody sees.
    void follow(std::string_view text, bool& in_private_key) const;
    /// Whether it replaces anything at all.
    [[nodiscard]] bool finds_any() const noexcept { return !keys_.empty(); }

private:
    class reader;

    std::vector<std::string> keys_;            // folded
    std::array<bool, 256> begins_a_key_ = {};  // by the first byte
};

}  // namespace snakepit::detail
