#pragma once
// The secret by which a worker shows that it is the one that was started.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace snakepit::detail {

/// 32 random bytes, given to one incarnation of one worker over an inherited descriptor.
class token {
public:
    /// From the kernel. Ends the program when that fails, which it does not after boot.
    [[nodiscard]] static token random();
    /// In constant time.
    [[nodiscard]] bool matches(std::string_view bytes) const noexcept;
    [[nodiscard]] std::string hex() const;

private:
    std::array<unsigned char, 32> bytes_{};
};

}  // namespace snakepit::detail
