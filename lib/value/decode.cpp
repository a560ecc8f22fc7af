#include "value/array_payload.hpp"
#include "value/codec.hpp"
#include "value/msgpack_in.hpp"
#include "value/refusal.hpp"
#include "value/utf8.hpp"

#include <fmt/format.h>

namespace snakepit::detail {
namespace {

/// Builds values in place. Recursion ends at max_depth, whatever the input says.
class reader {
public:
    explicit reader(std::string_view input) : tokens_(input) {}

    bool read(value& to) {
        if (!read(to, 0)) return false;
        if (tokens_.left() != 0) return refused("bytes are left over behind the value");
        return true;
    }
    [[nodiscard]] error why(std::string_view root) const { return refused_.at(root); }

private:
    using kind = msgpack_token::kind;

    bool read(value& to, int depth) {
        const msgpack_token token = tokens_.next();
        switch (token.is) {
            case kind::nil: to = nullptr; return true;
            case kind::boolean: to = token.boolean; return true;
            case kind::integer: to = token.integer; return true;
            case kind::unsigned_integer: to = token.unsigned_integer; return true;
            case kind::real: to = token.real; return true;
            case kind::text:
                if (!is_utf8(token.data)) return refused("text is not UTF-8");
                to = std::string(token.data);
                return true;
            case kind::bytes: to = value::binary(copy(token.data)); return true;
            case kind::ext: return read_ext(to, token);
            case kind::list: return read_list(to, token.count, depth);
            case kind::map: return read_map(to, token.count, depth);
            case kind::truncated: return truncated();
            case kind::invalid: break;
        }
        return refused("a byte that MessagePack does not have");
    }

    bool read_ext(value& to, const msgpack_token& token) {
        if (token.ext_code != array_ext)
            return refused(fmt::format("MessagePack extension type {} is unknown", token.ext_code));
        if (auto payload = parse_array_payload(token.data); !payload) return refused(payload.error().message());
        to = value::binary(copy(token.data), array_ext);
        return true;
    }

    bool read_list(value& to, std::size_t count, int depth) {
        if (depth >= max_depth) return too_deep();
        if (!expect(count)) return truncated();
        to = value(value::value_t::array);
        auto& list = *to.get_ptr<value::array_t*>();
        list.reserve(count);
        for (std::size_t i = 0; i < count; ++i) {
            --owed_;
            if (!read(list.emplace_back(), depth + 1)) {
                refused_.inside(i);
                return false;
            }
        }
        return true;
    }

    bool read_map(value& to, std::size_t count, int depth) {
        if (depth >= max_depth) return too_deep();
        if (!expect(2 * count)) return truncated();
        to = value(value::value_t::object);
        auto& map = *to.get_ptr<value::object_t*>();
        for (std::size_t i = 0; i < count; ++i) {
            owed_ -= 2;
            const msgpack_token key = tokens_.next();
            if (key.is == kind::truncated) return truncated();
            if (key.is != kind::text) return refused("a map key is not text");
            if (!is_utf8(key.data)) return refused("a map key is not UTF-8");
            // The last of equal keys wins: its value replaces what is there.
            if (!read(map.try_emplace(std::string(key.data)).first->second, depth + 1)) {
                refused_.inside(key.data);
                return false;
            }
        }
        return true;
    }

    /** Opens a container of `count` tokens, unless the bytes that are left cannot hold them together with all that the
        containers around it still owe. So what is reserved, over all levels, is bounded by the size of the input. */
    bool expect(std::size_t count) {
        if (tokens_.left() < owed_ || tokens_.left() - owed_ < count) return false;
        owed_ += count;
        return true;
    }

    static value::binary_t::container_type copy(std::string_view data) {
        const auto* from = reinterpret_cast<const std::uint8_t*>(data.data());
        return {from, from + data.size()};
    }

    bool refused(std::string why) { return refused_.because(errc::unserializable, std::move(why)); }
    bool truncated() { return refused("the bytes end in the middle of the value"); }
    bool too_deep() { return refused(fmt::format("nested more than {} deep", max_depth)); }

    msgpack_tokens tokens_;
    std::size_t owed_ = 0;
    refusal refused_;
};

}  // namespace

result<value> decode(std::string_view bytes, std::string_view root) {
    reader from(bytes);
    value v;
    if (!from.read(v)) return tl::unexpected(from.why(root));
    return v;
}

}  // namespace snakepit::detail
