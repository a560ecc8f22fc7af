#include "wire/token.hpp"

#include <sys/random.h>
#include <cstdlib>

namespace snakepit::detail {

token token::random() {
    token t;
    if (::getrandom(t.bytes_.data(), t.bytes_.size(), 0) != static_cast<ssize_t>(t.bytes_.size())) std::abort();
    return t;
}

bool token::matches(std::string_view bytes) const noexcept {
    if (bytes.size() != bytes_.size()) return false;
    unsigned difference = 0;
    for (std::size_t i = 0; i < bytes_.size(); ++i) difference |= bytes_[i] ^ static_cast<unsigned char>(bytes[i]);
    return difference == 0;
}

std::string token::hex() const {
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const auto b : bytes_) {
        text += digits[b >> 4];
        text += digits[b & 15];
    }
    return text;
}

}  // namespace snakepit::detail
