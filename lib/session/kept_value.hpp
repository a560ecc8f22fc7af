#pragma once
// The bytes of a variable.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace snakepit::detail {

/// Small ones lie with their variable, so that with a million sessions they are where one looks anyway; to copy them
/// costs less than to fetch them from elsewhere.
class kept_value {
public:
    explicit kept_value(std::shared_ptr<const std::string> bytes) {
        if (bytes->size() > small::room) {
            form_ = std::move(bytes);
            return;
        }
        small s;
        s.size = static_cast<std::uint8_t>(bytes->size());
        bytes->copy(s.text.data(), bytes->size());
        form_ = s;
    }

    [[nodiscard]] std::size_t size() const noexcept {
        const auto* const s = std::get_if<small>(&form_);
        return s ? s->size : std::get<large>(form_)->size();
    }
    [[nodiscard]] std::shared_ptr<const std::string> bytes() const {
        const auto* const s = std::get_if<small>(&form_);
        return s ? std::make_shared<const std::string>(s->text.data(), s->size) : std::get<large>(form_);
    }
    /// What is to be freed elsewhere; null when there is nothing to free. The value is not looked at any more.
    [[nodiscard]] std::shared_ptr<const std::string> release() noexcept {
        auto* const l = std::get_if<large>(&form_);
        return l ? std::move(*l) : nullptr;
    }

private:
    struct small {
        static constexpr std::size_t room = 15;
        std::array<char, room> text;
        std::uint8_t size;
    };
    using large = std::shared_ptr<const std::string>;
    std::variant<small, large> form_;
};

}  // namespace snakepit::detail
