#include "value/array_payload.hpp"
#include "value/codec.hpp"
#include "value/msgpack_out.hpp"
#include "value/refusal.hpp"
#include "value/utf8.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace snakepit::detail {
namespace {

/// Room to begin with: most values need no second allocation.
constexpr std::size_t small_value = 240;

/// Checks and writes in one pass. Recursion ends at max_depth, however deep the value is.
class writer {
public:
    explicit writer(std::size_t max_bytes) : max_bytes_(std::min(max_bytes, max_msgpack_length)) {
        out_.reserve(small_value);
    }

    bool put(const value& v) { return put(v, 0) && (out_.size() <= max_bytes_ || too_large()); }
    std::string take() { return std::move(out_); }
    [[nodiscard]] error why(std::string_view root) const { return refused_.at(root); }

private:
    bool put(const value& v, int depth) {
        switch (v.type()) {
            case value::value_t::null: put_byte(out_, 0xC0); return true;
            case value::value_t::boolean: put_byte(out_, *v.get_ptr<const bool*>() ? 0xC3 : 0xC2); return true;
            case value::value_t::number_integer:
                put_integer(out_, *v.get_ptr<const value::number_integer_t*>());
                return true;
            case value::value_t::number_unsigned:
                put_unsigned(out_, *v.get_ptr<const value::number_unsigned_t*>());
                return true;
            case value::value_t::number_float: put_double(out_, *v.get_ptr<const double*>()); return true;
            case value::value_t::string: return put_string(*v.get_ptr<const value::string_t*>());
            case value::value_t::binary: return put_binary(v.get_binary());
            case value::value_t::array: return put_list(*v.get_ptr<const value::array_t*>(), depth);
            case value::value_t::object: return put_map(*v.get_ptr<const value::object_t*>(), depth);
            case value::value_t::discarded: break;
        }
        return refused_.because(errc::unserializable, "a discarded value cannot travel");
    }

    bool put_string(const std::string& text) {
        if (!has_room(text.size())) return too_large();
        if (!is_utf8(text)) return refused_.because(errc::unserializable, "text is not UTF-8");
        put_text(out_, text);
        return true;
    }

    bool put_binary(const value::binary_t& binary) {
        if (!has_room(binary.size())) return too_large();
        if (!binary.has_subtype()) {
            put_bytes(out_, binary.data(), binary.size());
            return true;
        }
        if (binary.subtype() != array_ext)
            return refused_.because(errc::unserializable,
                                    fmt::format("bytes of subtype {} cannot travel", binary.subtype()));
        if (auto payload = parse_array_payload(as_text(binary)); !payload)
            return refused_.because(errc::unserializable, payload.error().message());
        put_ext(out_, array_ext, binary.data(), binary.size());
        return true;
    }

    bool put_list(const value::array_t& list, int depth) {
        if (depth >= max_depth) return too_deep();
        if (!has_room(list.size())) return too_large();
        put_list_head(out_, list.size());
        for (std::size_t i = 0; i < list.size(); ++i) {
            if (!put(list[i], depth + 1)) {
                refused_.inside(i);
                return false;
            }
        }
        return true;
    }

    bool put_map(const value::object_t& map, int depth) {
        if (depth >= max_depth) return too_deep();
        if (!has_room(map.size())) return too_large();
        put_map_head(out_, map.size());
        for (const auto& [key, item] : map) {
            if (!has_room(key.size())) return too_large();
            if (!is_utf8(key)) return refused_.because(errc::unserializable, "a map key is not UTF-8");
            put_text(out_, key);
            if (!put(item, depth + 1)) {
                refused_.inside(key);
                return false;
            }
        }
        return true;
    }

    /// Whether `more` bytes could still be within the limit; asked before anything large is copied.
    [[nodiscard]] bool has_room(std::size_t more) const {
        return out_.size() <= max_bytes_ && more <= max_bytes_ - out_.size();
    }

    bool too_large() {
        return refused_.because(errc::message_too_large,
                                fmt::format("the value needs more than the {} bytes that are allowed", max_bytes_));
    }
    bool too_deep() {
        return refused_.because(errc::unserializable, fmt::format("nested more than {} deep", max_depth));
    }

    const std::size_t max_bytes_;
    std::string out_;
    refusal refused_;
};

}  // namespace

result<std::string> encode(const value& v, std::string_view root, std::size_t max_bytes) {
    writer to(max_bytes);
    if (!to.put(v)) return tl::unexpected(to.why(root));
    return to.take();
}

}  // namespace snakepit::detail
