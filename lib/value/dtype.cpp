#include "value/dtype.hpp"

#include "value/refusal.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <set>

namespace snakepit::detail {
namespace {

/// numpy counts the bytes of an item in an int.
constexpr std::size_t max_item_size = std::numeric_limits<std::int32_t>::max();

tl::unexpected<error> bad_dtype(std::string why) { return tl::unexpected(error(errc::bad_arguments, std::move(why))); }

template <std::size_t N>
bool is_one_of(std::string_view what, const std::array<std::string_view, N>& known) {
    return std::find(known.begin(), known.end(), what) != known.end();
}

/// A number and nothing else, at most max_item_size.
std::optional<std::size_t> parse_number(std::string_view digits) {
    std::size_t n = 0;
    const char* begin = digits.data();
    const char* end = begin + digits.size();
    const auto [stop, problem] = std::from_chars(begin, end, n);
    if (problem != std::errc() || stop != end || n > max_item_size) return std::nullopt;
    return n;
}

/// What stands in the brackets of "M8[25us]".
bool is_time_unit(std::string_view text) {
    static constexpr std::array<std::string_view, 13> units{"Y",  "M",  "W",  "D",  "h",  "m", "s",
                                                            "ms", "us", "ns", "ps", "fs", "as"};
    const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
    return is_one_of(text.substr(digits), units) &&
           (digits == 0 || parse_number(text.substr(0, digits)).value_or(0) != 0);
}

struct scalar_type {
    std::size_t item_size;
    bool has_byte_order;
};

/// A dtype of one kind, without its byte order: "f8", "M8[ns]", "U5".
std::optional<scalar_type> parse_scalar(std::string_view code) {
    static constexpr std::array<std::string_view, 16> numbers{"b1", "i1", "i2", "i4", "i8",  "u1", "u2",  "u4",
                                                              "u8", "f2", "f4", "f8", "f16", "c8", "c16", "c32"};
    if (code.empty()) return std::nullopt;
    const char kind = code.front();
    if (is_one_of(code, numbers)) {
        const auto size = *parse_number(code.substr(1));
        return scalar_type{size, size > 1};
    }
    if (kind == 'M' || kind == 'm') {
        if (!code.substr(1).starts_with('8')) return std::nullopt;
        const auto unit = code.substr(2);
        const bool is_known = unit.empty() || (unit.size() > 2 && unit.front() == '[' && unit.back() == ']' &&
                                               is_time_unit(unit.substr(1, unit.size() - 2)));
        return is_known ? std::optional(scalar_type{8, true}) : std::nullopt;
    }
    if (kind == 'S' || kind == 'V' || kind == 'U') {
        const auto length = parse_number(code.substr(1));
        const std::size_t unit = kind == 'U' ? 4 : 1;
        if (!length || *length > max_item_size / unit) return std::nullopt;
        return scalar_type{*length * unit, kind == 'U'};
    }
    return std::nullopt;
}

result<dtype> parse_text(const std::string& text) {
    std::string_view code = text;
    char order = 0;
    if (!code.empty() && std::string_view("<>|=").find(code.front()) != std::string_view::npos) {
        order = code.front();
        code.remove_prefix(1);
    }
    if (code.starts_with('O')) return bad_dtype("an array of Python objects cannot travel");
    const auto scalar = parse_scalar(code);
    if (!scalar) return bad_dtype(fmt::format("the dtype {} of an array is unknown", in_quotes(text)));
    if (order == '>' && scalar->has_byte_order)
        return bad_dtype(fmt::format("the dtype {} of an array is not in native byte order", in_quotes(text)));
    return dtype{fmt::format("{}{}", scalar->has_byte_order ? '<' : '|', code), scalar->item_size};
}

result<dtype> parse_any(value descr, int depth);

/// Bytes of several values in one field.
result<std::size_t> bytes_of_field(std::size_t item_size, const value& shape) {
    std::vector<std::size_t> sizes;
    if (!shape.is_array()) return bad_dtype("the shape of a field must be a list of sizes");
    for (const auto& size : shape) {
        if (!size.is_number_unsigned()) return bad_dtype("the shape of a field must be a list of sizes");
        sizes.push_back(size.get<std::size_t>());
    }
    const auto bytes = bytes_of_shape(sizes, item_size);
    if (!bytes || *bytes > max_item_size) return bad_dtype("a field of an array is too large");
    return *bytes;
}

/// Names in use so far; numpy wants each once. Padding has none.
class field_names {
public:
    result<void> add(const value& name, const dtype& type) {
        if (name.is_string()) {
            const bool is_padding =
                name.get_ref<const std::string&>().empty() && type.descr.is_string() && type.text().starts_with("|V");
            return is_padding ? result<void>() : add_text(name);
        }
        if (!name.is_array() || name.size() != 2) return bad_dtype("a field of an array must have text for a name");
        if (auto title = add_text(name[0]); !title) return title;
        return add_text(name[1]);
    }

private:
    result<void> add_text(const value& name) {
        if (!name.is_string()) return bad_dtype("a field of an array must have text for a name");
        const auto& text = name.get_ref<const std::string&>();
        if (!seen_.insert(text).second)
            return bad_dtype(fmt::format("two fields of an array have the name {}", in_quotes(text)));
        return {};
    }
    std::set<std::string> seen_;
};

result<dtype> parse_fields(value fields, int depth) {
    field_names names;
    std::size_t item_size = 0;
    for (auto& field : fields) {
        if (!field.is_array() || field.size() < 2 || field.size() > 3)
            return bad_dtype("a field of an array must be [name, dtype] or [name, dtype, shape]");
        auto type = parse_any(std::move(field[1]), depth + 1);
        if (!type) return type;
        if (auto added = names.add(field[0], *type); !added) return tl::unexpected(added.error());
        field[1] = std::move(type->descr);
        const auto bytes = field.size() == 3 ? bytes_of_field(type->item_size, field[2]) : type->item_size;
        if (!bytes) return tl::unexpected(bytes.error());
        if (*bytes > max_item_size - item_size) return bad_dtype("an item of an array is too large");
        item_size += *bytes;
    }
    return dtype{std::move(fields), item_size};
}

/// [dtype, shape] in the place of a field's dtype: numpy's way to write a field of arrays of arrays.
result<dtype> parse_subarray(value descr, int depth) {
    auto type = parse_any(std::move(descr[0]), depth + 1);
    if (!type) return type;
    descr[0] = std::move(type->descr);
    const auto bytes = bytes_of_field(type->item_size, descr[1]);
    if (!bytes) return tl::unexpected(bytes.error());
    return dtype{std::move(descr), *bytes};
}

result<dtype> parse_any(value descr, int depth) {
    if (descr.is_string()) return parse_text(descr.get_ref<const std::string&>());
    if (!descr.is_array()) return bad_dtype("the dtype of an array must be text or a list of fields");
    if (depth >= max_dtype_depth)
        return bad_dtype(fmt::format("the dtype of an array is nested more than {} deep", max_dtype_depth));
    const bool is_subarray = descr.size() == 2 && descr[0].is_string();
    return is_subarray ? parse_subarray(std::move(descr), depth) : parse_fields(std::move(descr), depth);
}

}  // namespace

std::string dtype::text() const { return descr.is_string() ? descr.get<std::string>() : descr.dump(); }

result<dtype> parse_dtype(value descr) {
    if (descr.is_array() && !descr.empty() && !descr[0].is_array())
        return bad_dtype("a field of an array must be [name, dtype] or [name, dtype, shape]");
    return parse_any(std::move(descr), 0);
}

result<dtype> parse_dtype_text(std::string_view text) {
    if (!text.starts_with('[')) return parse_text(std::string(text));
    auto descr = value::parse(text, nullptr, false);
    if (descr.is_discarded()) return bad_dtype(fmt::format("the dtype {} of an array is not JSON", in_quotes(text)));
    return parse_dtype(std::move(descr));
}

std::optional<std::size_t> bytes_of_shape(const std::vector<std::size_t>& shape, std::size_t item_size) {
    // Without its zeros, so that a shape like (2**40, 2**40, 0) is refused as numpy refuses it.
    constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max();
    if (shape.size() > max_dimensions) return std::nullopt;
    std::size_t product = std::max<std::size_t>(item_size, 1);
    bool is_empty = item_size == 0;
    for (const std::size_t size : shape) {
        if (size == 0) is_empty = true;
        else if (size > most / product) return std::nullopt;
        else product *= size;
    }
    return is_empty ? 0 : product;
}

}  // namespace snakepit::detail
