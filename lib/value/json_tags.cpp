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

std::optional<double> named_float(std::string_view name) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (name == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (name == "inf") return infinity;
    if (name == "-inf") return -infinity;
    return std::nullopt;
}

const std::string* text_in(const value& v) { return v.get_ptr<const std::string*>(); }

/// A map's only key, if it has the form of a tag: one with a strange key and other content is just a map.
const std::string* tag_word(const value& v) {
    if (!v.is_object() || v.size() != 1) return nullptr;
    const auto& [word, content] = *v.get_ptr<const value::object_t*>()->begin();
    const bool fits = word == "$float"   ? content.is_string() && named_float(*text_in(content))
                      : word == "$bytes" ? content.is_string()
                      : word == "$array" ? content.is_object() && content.size() == 3 && content.contains("dtype") &&
                                               content.contains("shape") && content.contains("base64")
                                         : false;
    return fits ? &word : nullptr;
}

error mistake(std::string_view what) { return {errc::bad_arguments, std::string(what)}; }

result<value> from_bytes_tag(const std::string& text) {
    auto data = from_base64(text);
    if (!data) return tl::unexpected(mistake("$bytes: not base64"));
    return value::binary(*std::move(data));
}

result<value> from_array_tag(const value& parts) {
    const auto& dtype = parts["dtype"];
    const auto type = dtype.is_string() ? parse_dtype_text(*text_in(dtype)) : parse_dtype(dtype);
    if (!type) return tl::unexpected(mistake("$array: dtype is not one of a fixed size, as numpy writes it"));
    std::vector<std::size_t> shape;
    if (!parts["shape"].is_array()) return tl::unexpected(mistake("$array: shape must be a list"));
    for (const auto& size : parts["shape"]) {
        if (!size.is_number_unsigned()) return tl::unexpected(mistake("$array: shape must hold integers, 0 or more"));
        shape.push_back(size.get<std::size_t>());
    }
    const auto* text = text_in(parts["base64"]);
    const auto data = text ? from_base64(*text) : std::nullopt;
    if (!data) return tl::unexpected(mistake("$array: not base64"));
    auto made = array::from_bytes(type->text(), std::move(shape), std::as_bytes(std::span(*data)));
    if (!made) return tl::unexpected(mistake("$array: " + made.error().message()));
    return value(*std::move(made));
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

const std::string* find_lookalike(const value& v) {
    if (!v.is_structured()) return nullptr;
    if (const auto* word = tag_word(v)) return word;
    for (const auto& item : v)
        if (const auto* word = find_lookalike(item)) return word;
    return nullptr;
}

result<bool> replace_tag(value& v) {
    const auto* word = tag_word(v);
    if (!word) return false;
    const auto& content = v.front();
    auto meant = *word == "$float"   ? result<value>(*named_float(*text_in(content)))
                 : *word == "$bytes" ? from_bytes_tag(*text_in(content))
                                     : from_array_tag(content);
    if (!meant) return tl::unexpected(std::move(meant).error());
    v = *std::move(meant);
    return true;
}

}  // namespace snakepit::detail
