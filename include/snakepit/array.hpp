#pragma once
/// @file
/// Numeric arrays as numpy has them.

#include <snakepit/error.hpp>
#include <snakepit/export.hpp>
#include <snakepit/value.hpp>

#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace snakepit {

namespace detail {
template <class T, class... Types>
inline constexpr bool is_one_of = (std::is_same_v<T, Types> || ...);

/// numpy's name of a C++ element type in native byte order; empty when there is none.
template <class T>
constexpr std::string_view dtype_of() {
    if constexpr (std::is_same_v<T, bool>) return "|b1";
    else if constexpr (std::is_same_v<T, std::int8_t>) return "|i1";
    else if constexpr (std::is_same_v<T, std::uint8_t>) return "|u1";
    else if constexpr (is_one_of<T, short, int, long, long long>)
        return sizeof(T) == 2 ? "<i2" : sizeof(T) == 4 ? "<i4" : "<i8";
    else if constexpr (is_one_of<T, unsigned short, unsigned, unsigned long, unsigned long long>)
        return sizeof(T) == 2 ? "<u2" : sizeof(T) == 4 ? "<u4" : "<u8";
    else if constexpr (std::is_same_v<T, float>) return "<f4";
    else if constexpr (std::is_same_v<T, double>) return "<f8";
    else if constexpr (std::is_same_v<T, std::complex<float>>) return "<c8";
    else if constexpr (std::is_same_v<T, std::complex<double>>) return "<c16";
    else return {};
}
}  // namespace detail

/** An n-dimensional array: dtype, shape, and its elements in C order, contiguous, in native byte order.

    The dtype is numpy's own text ("<f8", "|b1", "<M8[ns]", "<U5"); of a structured dtype it is the JSON text of the
    list that numpy's `.npy` format uses (`[["x","<f4"],["y","<i2"]]`). Every dtype of fixed size travels.

    @par Thread safety  like a std::vector */
class SNAKEPIT_API array {
public:
    /// A 1-d array of no doubles.
    array();

    /** An array of the elements given.
        @param shape  product equal to `elements.size()`; empty for a 0-d array of one element
        @return  or errc::bad_arguments when the shape does not fit */
    template <class T>
    [[nodiscard]] static result<array> of(std::span<const T> elements, std::vector<std::size_t> shape) {
        static_assert(!detail::dtype_of<T>().empty(), "this element type has no numpy dtype");
        return from_bytes(std::string(detail::dtype_of<T>()), std::move(shape), std::as_bytes(elements));
    }
    /// A 1-d array of the elements given.
    template <class T>
    [[nodiscard]] static array of(const std::vector<T>& elements) {
        if constexpr (std::is_same_v<T, bool>) {  // a vector of bools has no elements to point at
            const std::vector<std::uint8_t> plain(elements.begin(), elements.end());
            return *from_bytes("|b1", {plain.size()}, std::as_bytes(std::span(plain)));
        } else {
            return *of(std::span<const T>(elements), {elements.size()});
        }
    }

    /** An array of any dtype from its raw bytes, copied.
        @param bytes  in C order, native byte order; as many as shape and dtype say
        @return  or errc::bad_arguments: unknown dtype, object dtype, byte order not native, wrong size */
    [[nodiscard]] static result<array> from_bytes(std::string dtype, std::vector<std::size_t> shape,
                                                  std::span<const std::byte> bytes);

    [[nodiscard]] const std::string& dtype() const noexcept { return dtype_; }
    [[nodiscard]] const std::vector<std::size_t>& shape() const noexcept { return shape_; }
    /// Bytes of one element.
    [[nodiscard]] std::size_t item_size() const noexcept { return item_size_; }
    /// Number of elements: the product of the shape.
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return bytes_; }

    /** The elements as T, without a copy; valid while the array lives and is not assigned to.
        @return  or errc::type_mismatch naming both types */
    template <class T>
    [[nodiscard]] result<std::span<const T>> view() const {
        if (auto fits = check(detail::dtype_of<T>()); !fits) return tl::unexpected(fits.error());
        return std::span<const T>(reinterpret_cast<const T*>(bytes_.data()), size());
    }
    template <class T>
    [[nodiscard]] result<std::span<T>> view() {
        if (auto fits = check(detail::dtype_of<T>()); !fits) return tl::unexpected(fits.error());
        return std::span<T>(reinterpret_cast<T*>(bytes_.data()), size());
    }

    friend bool operator==(const array&, const array&) = default;

private:
    [[nodiscard]] result<void> check(std::string_view wanted) const;
    std::string dtype_;
    std::vector<std::size_t> shape_;
    std::size_t item_size_ = 0;
    std::vector<std::byte> bytes_;
};

/// Whether a value is an array (a binary with the subtype that `to_json` gives it).
[[nodiscard]] SNAKEPIT_API bool is_array(const value& v) noexcept;

/// nlohmann's conversions: arrays may stand anywhere inside values and users' own structs.
/// @throws std::length_error for an array over 4 GiB
SNAKEPIT_API void to_json(value& to, const array& from);
/// @throws nlohmann::json::type_error when the value is not an array or is malformed; pool calls turn it into
///         errc::type_mismatch.
SNAKEPIT_API void from_json(const value& from, array& to);

}  // namespace snakepit
