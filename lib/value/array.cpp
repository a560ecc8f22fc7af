#include <snakepit/array.hpp>

#include "value/array_payload.hpp"
#include "value/codec.hpp"
#include "value/dtype.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>

namespace snakepit {

static_assert(std::endian::native == std::endian::little, "dtypes are named in little-endian byte order");

namespace {

/// A C++ bool of any other byte than 0 and 1 is undefined; numpy takes each of them for true.
void tidy_bools(std::span<std::byte> bools) {
    for (auto& b : bools) b = std::byte{b != std::byte{0}};
}

}  // namespace

array::array() : dtype_("<f8"), shape_{0}, item_size_(sizeof(double)) {}

result<array> array::from_bytes(std::string dtype, std::vector<std::size_t> shape, std::span<const std::byte> bytes) {
    auto type = detail::parse_dtype_text(dtype);
    if (!type) return tl::unexpected(type.error());
    if (auto fits = detail::check_array_size(*type, shape, bytes.size()); !fits) return tl::unexpected(fits.error());
    array made;
    made.dtype_ = type->text();
    made.shape_ = std::move(shape);
    made.item_size_ = type->item_size;
    made.bytes_.assign(bytes.begin(), bytes.end());
    if (made.dtype_ == "|b1") tidy_bools(made.bytes_);
    return made;
}

std::size_t array::size() const noexcept {
    if (item_size_ != 0) return bytes_.size() / item_size_;
    return std::accumulate(shape_.begin(), shape_.end(), std::size_t{1}, std::multiplies<>());
}

result<void> array::check(std::string_view wanted) const {
    if (wanted.empty())
        return tl::unexpected(
            error(errc::type_mismatch, fmt::format("the array is of dtype {}; the C++ type has none", dtype_)));
    if (wanted != dtype_)
        return tl::unexpected(
            error(errc::type_mismatch, fmt::format("the array is of dtype {}, not {}", dtype_, wanted)));
    return {};
}

bool is_array(const value& v) noexcept {
    const auto* binary = v.get_ptr<const value::binary_t*>();
    return binary != nullptr && binary->has_subtype() && binary->subtype() == detail::array_ext;
}

void to_json(value& to, const array& from) {
    const auto& dtype = from.dtype();
    const value descr = dtype.starts_with('[') ? value::parse(dtype) : value(dtype);
    to = value::binary(detail::make_array_payload(descr, from.shape(), from.bytes()), detail::array_ext);
}

void from_json(const value& from, array& to) {
    if (!is_array(from))
        throw value::type_error::create(302, fmt::format("type must be a numpy array, but is {}", from.type_name()),
                                        &from);
    auto payload = detail::parse_array_payload(detail::as_text(from.get_binary()));
    if (!payload) throw value::type_error::create(302, payload.error().message(), &from);
    auto made = array::from_bytes(payload->type.text(), std::move(payload->shape), payload->data);
    if (!made) throw value::type_error::create(302, made.error().message(), &from);
    to = *std::move(made);
}

}  // namespace snakepit
