#include "stress/chaos/stream_checker.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

namespace snakepit::chaos {
namespace {

class inquiry {
public:
    std::vector<violation> all(const std::deque<stream_record>& of) {
        for (const auto& s : of) {
            look_at_order("item", s, s.items);
            look_at_order("item that it was sent", s, s.gathered);
            look_at_number(s);
            look_at_end(s);
        }
        return std::move(found_);
    }

private:
    template <class... Args>
    void blame(fault what, const stream_record& s, fmt::format_string<Args...> how, Args&&... args) {
        found_.push_back({what, s.call, fmt::format("{}: {}", s.tool, fmt::format(how, std::forward<Args>(args)...))});
    }

    void look_at_order(std::string_view what, const stream_record& s, const std::vector<std::uint64_t>& numbers) {
        for (std::uint64_t i = 0; i < numbers.size(); ++i) {
            if (numbers[i] == i) continue;
            if (numbers[i] == stream_record::strange) blame(fault::strange_item, s, "{} {} is not its own", what, i);
            else blame(fault::out_of_order, s, "{} {} is {}", what, i, numbers[i]);
            return;  // one says it all
        }
    }

    void look_at_number(const stream_record& s) {
        const auto most = s.gathers ? 0 : s.relays ? s.given : s.planned;
        if (s.items.size() > most) blame(fault::too_many_items, s, "{} items, at most {}", s.items.size(), most);
        if (s.gathered.size() > s.given || (s.gathers && s.gathered.size() > s.planned))
            blame(fault::too_many_items, s, "took {} of {}", s.gathered.size(), s.given);
        if (s.more_after_end) blame(fault::too_many_items, s, "an item behind the last");
    }

    void look_at_end(const stream_record& s) {
        if (s.end != stream_end::value && s.end != stream_end::raised) return;
        if (s.relays && !s.is_finished) blame(fault::ended_in_the_middle, s, "its input goes on");
        if (s.gathers && !s.is_finished && s.gathered.size() < s.planned)
            blame(fault::ended_in_the_middle, s, "took {} of {}, and its input goes on", s.gathered.size(), s.planned);
        // What was not acknowledged has perhaps been sent: until the end of a call nobody fails to send.
        const auto least = s.gathers ? std::min(s.planned, s.sent) : s.relays ? s.sent : s.planned;
        const auto came = s.gathers ? s.gathered.size() : s.items.size();
        if ((s.is_read_whole || s.gathers) && came < least)
            blame(fault::items_missing, s, "{} of {} items, and then the end", came, least);
        if (s.counted && *s.counted != (s.relays ? s.sent : s.planned))
            blame(fault::items_missing, s, "its tool counts {} of {}", *s.counted, s.relays ? s.sent : s.planned);
    }

    std::vector<violation> found_;
};

}  // namespace

std::vector<violation> check_streams(const std::deque<stream_record>& of) { return inquiry().all(of); }

}  // namespace snakepit::chaos
