#include "value/array_payload.hpp"

#include "value/msgpack_in.hpp"
#include "value/msgpack_out.hpp"
#include "value/utf8.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdexcept>

namespace snakepit::detail {
namespace {

using kind = msgpack_token::kind;

/// A structured dtype is a list of fields, and a field a list.
constexpr int max_descr_depth = 2 * max_dtype_depth;

tl::unexpected<error> refused(std::string why) { return tl::unexpected(error(errc::unserializable, std::move(why))); }

/// Text, sizes and lists of these, which is all that a descr may hold.
bool read_descr(msgpack_tokens& tokens, value& to, int depth) {
    const msgpack_token token = tokens.next();
    switch (token.is) {
        case kind::text: to = std::string(token.data); return is_utf8(token.data);
        case kind::unsigned_integer: to = token.unsigned_integer; return true;
        case kind::list: {
            if (depth >= max_descr_depth) return false;
            to = value(value::value_t::array);
            auto& list = *to.get_ptr<value::array_t*>();
            for (std::size_t i = 0; i < token.count; ++i)
                if (!read_descr(tokens, list.emplace_back(), depth + 1)) return false;
            return true;
        }
        default: return false;
    }
}

bool read_shape(msgpack_tokens& tokens, std::vector<std::size_t>& to) {
    const msgpack_token list = tokens.next();
    if (list.is != kind::list || list.count > max_dimensions) return false;
    for (std::size_t i = 0; i < list.count; ++i) {
        const msgpack_token size = tokens.next();
        if (size.is != kind::unsigned_integer) return false;
        to.push_back(size.unsigned_integer);
    }
    return true;
}

void put_descr(std::vector<std::uint8_t>& to, const value& descr) {
    if (descr.is_string()) {
        put_text(to, descr.get_ref<const std::string&>());
    } else if (descr.is_array()) {
        put_list_head(to, descr.size());
        for (const auto& part : descr) put_descr(to, part);
    } else {
        put_unsigned(to, descr.get<std::uint64_t>());
    }
}

}  // namespace

result<void> check_array_size(const dtype& type, const std::vector<std::size_t>& shape, std::size_t bytes) {
    const auto needed = bytes_of_shape(shape, type.item_size);
    if (!needed)
        return tl::unexpected(
            error(errc::bad_arguments,
                  fmt::format("an array of {} dimensions and so many elements is not possible", shape.size())));
    if (*needed != bytes)
        return tl::unexpected(
            error(errc::bad_arguments, fmt::format("an array of {} bytes: dtype {} and shape [{}] need {}", bytes,
                                                   type.text().substr(0, 200), fmt::join(shape, ", "), *needed)));
    return {};
}

result<array_payload> parse_array_payload(std::string_view bytes) {
    msgpack_tokens tokens(bytes);
    const msgpack_token parts = tokens.next();
    if (parts.is != kind::list || parts.count != 3) return refused("an array must be [dtype, shape, data]");
    value descr;
    if (!read_descr(tokens, descr, 0)) return refused("the dtype of an array must be text or a list of fields");
    auto type = parse_dtype(std::move(descr));
    if (!type) return refused(type.error().message());
    std::vector<std::size_t> shape;
    if (!read_shape(tokens, shape))
        return refused(fmt::format("the shape of an array must be a list of at most {} sizes", max_dimensions));
    const msgpack_token data = tokens.next();
    if (data.is != kind::bytes) return refused("the data of an array must be bytes");
    if (tokens.left() != 0) return refused("bytes are left over behind an array");
    if (auto fits = check_array_size(*type, shape, data.data.size()); !fits) return refused(fits.error().message());
    return array_payload{*std::move(type), std::move(shape), std::as_bytes(std::span(data.data))};
}

std::vector<std::uint8_t> make_array_payload(const value& descr, const std::vector<std::size_t>& shape,
                                             std::span<const std::byte> data) {
    if (data.size() > max_msgpack_length) throw std::length_error("an array of more than 4 GiB cannot travel");
    constexpr std::size_t heads = 64;  // enough for the parts other than data, but for structured dtypes
    std::vector<std::uint8_t> payload;
    payload.reserve(data.size() + heads + 9 * shape.size());
    put_list_head(payload, 3);
    put_descr(payload, descr);
    put_list_head(payload, shape.size());
    for (const std::size_t size : shape) put_unsigned(payload, size);
    put_bytes(payload, data.data(), data.size());
    return payload;
}

}  // namespace snakepit::detail
