#include "value/json_tags.hpp"

#include "value/array_payload.hpp"
#include "value/base64.hpp"
#include "value/codec.hpp"

#include <snakepit/array.hpp>

#include <cmath>
#include <limits>
#include <optional>

namespace snakepit::detail {
namespace {

value float_tag(double d) { return {{"$float", std::isnan(d) ? "nan" : d > 0 ? "inf" : "-inf"}}; }

value binary_tag(const value& v) {
    const auto& binary = v.get_binary();
    if (is_array(v)) {
        if (const auto payload = parse_array_payload(as_text(binary)))
            return {
                {"$array",
                 {{"dtype", payload->type.descr}, {"shape", payload->shape}, {"base64", to_base64(payload->data)}}}};
    }
    return {{"$bytes", to_base64(std::as_bytes(std::span(binary)))}};
}

std::optional<value> from_float_tag(const value& name) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (name == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (name == "inf") return infinity;
    if (name == "-inf") return -infinity;
    return std::nullopt;
}

std::optional<value> from_bytes_tag(const value& text) {
    if (!text.is_string()) return std::nullopt;
    auto data = from_base64(text.get_ref<const std::string&>());
    if (!data) return std::nullopt;
    return value::binary(*std::move(data));
}

std::optional<value> from_array_tag(const value& parts) {
    if (!parts.is_object() || parts.size() != 3) return std::nullopt;
    const auto dtype_part = parts.find("dtype");
    const auto shape_part = parts.find("shape");
    const auto data_part = parts.find("base64");
    if (dtype_part == parts.end() || shape_part == parts.end() || data_part == parts.end()) return std::nullopt;
    if (!shape_part->is_array() || !data_part->is_string()) return std::nullopt;
    std::vector<std::size_t> shape;
    for (const auto& size : *shape_part) {
        if (!size.is_number_unsigned()) return std::nullopt;
        shape.push_back(size.get<std::size_t>());
    }
    const auto type = dtype_part->is_string() ? parse_dtype_text(dtype_part->get_ref<const std::string&>())
                                              : parse_dtype(*dtype_part);
    const auto data = from_base64(data_part->get_ref<const std::string&>());
    if (!type || !data) return std::nullopt;
    const auto made = array::from_bytes(type->text(), std::move(shape), std::as_bytes(std::span(*data)));
    if (!made) return std::nullopt;
    return value(*made);
}

}  // namespace

value with_tags(const value& v) {
    switch (v.type()) {
        case value::value_t::number_float: {
            const double d = *v.get_ptr<const double*>();
            return std::isfinite(d) ? v : float_tag(d);
        }
        case value::value_t::binary: return binary_tag(v);
        case value::value_t::array: {
            value list = value::array();
            for (const auto& item : v) list.push_back(with_tags(item));
            return list;
        }
        case value::value_t::object: {
            value map = value::object();
            for (const auto& [key, item] : v.items()) map[key] = with_tags(item);
            return map;
        }
        default: return v;
    }
}

bool replace_tag(value& v) {
    if (!v.is_object() || v.size() != 1) return false;
    const auto& [name, content] = *v.get_ptr<const value::object_t*>()->begin();
    auto meant = name == "$float"   ? from_float_tag(content)
                 : name == "$bytes" ? from_bytes_tag(content)
                 : name == "$array" ? from_array_tag(content)
                                    : std::nullopt;
    if (!meant) return false;
    v = *std::move(meant);
    return true;
}

}  // namespace snakepit::detail
