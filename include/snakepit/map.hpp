#pragma once
/// @file
/// Many calls of one tool: what `pool::map` takes and returns.

#include <snakepit/detail/conversion.hpp>
#include <snakepit/error.hpp>
#include <snakepit/export.hpp>
#include <snakepit/options.hpp>
#include <snakepit/value.hpp>

#include <asio/awaitable.hpp>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>

namespace snakepit {

/// How `pool::map` is to go about it. A class with setters, not an aggregate: g++ 12 destroys aggregate temporaries in
/// a co_await expression twice.
class map_options {
public:
    map_options() {}  // not defaulted: that would make it an aggregate-like temporary again

    /** Most items that are begun and not yet returned by `next`: their calls are under way, or their results wait.
        Default 256; 1 to 1,000,000, and what is beyond counts as the nearest of these. Enough for fast tools is
        `workers.max` times `calls_per_worker`; of slow ones a few for each worker.

        The window may be larger than what the pool takes, and others may fill its queue: a call that is refused with
        errc::queue_full is tried again, when another call of the map has ended, or some milliseconds later when it has
        none at the pool. Only when others have filled the queue for as long as the call's timeout its item fails with
        errc::queue_full. */
    map_options& window(std::size_t items) {
        window_ = items;
        return *this;
    }
    /// Results come in the order of the range. Default true. False: as they come, so that a slow call holds up no
    /// other.
    map_options& ordered(bool they_are) {
        ordered_ = they_are;
        return *this;
    }
    /// Each item is all that `execute` takes: an object becomes keyword arguments, a list positional ones. Default
    /// false: each item is the tool's one argument, whatever it is.
    map_options& spread(bool it_is) {
        spread_ = it_is;
        return *this;
    }
    /// For each call. The timeout counts from the time when the pool takes it, which may have to be tried more than
    /// once.
    map_options& call(call_options options) {
        call_ = std::move(options);
        return *this;
    }

    [[nodiscard]] std::size_t window() const noexcept { return window_; }
    [[nodiscard]] bool ordered() const noexcept { return ordered_; }
    [[nodiscard]] bool spread() const noexcept { return spread_; }
    [[nodiscard]] const call_options& call() const noexcept { return call_; }

private:
    std::size_t window_ = 256;
    bool ordered_ = true;
    bool spread_ = false;
    call_options call_;
};

/// What became of one item of a range.
template <class T = value>
struct mapped {
    std::uint64_t index;  ///< of the item in the range, from 0
    result<T> outcome;    ///< of its call
};

namespace detail {
class pool_impl;
class map_run;

/// The items of a range, as they are wanted.
class map_source {
public:
    map_source() = default;
    virtual ~map_source() = default;
    map_source(const map_source&) = delete;
    map_source& operator=(const map_source&) = delete;
    /// Nothing: it is at its end. What the user's code throws comes as an error; after one of the range itself nothing
    /// more comes.
    [[nodiscard]] virtual std::optional<result<value>> next() = 0;
};

template <class Range>
concept mappable = std::ranges::viewable_range<Range> && std::ranges::input_range<Range> &&
                   std::constructible_from<value, std::ranges::range_reference_t<Range>>;

template <std::ranges::view View>
class range_source final : public map_source {
public:
    explicit range_source(View of) : range_(std::move(of)) {}

    std::optional<result<value>> next() override {
        if (over_) return std::nullopt;
        try {
            if (at_) ++*at_;
            else at_.emplace(std::ranges::begin(range_));
            over_ = *at_ == std::ranges::end(range_);
        } catch (const std::exception& e) {
            return end(e.what());
        } catch (...) {
            return end("an exception of no standard type");
        }
        if (over_) return std::nullopt;
        try {
            return value(**at_);
        } catch (const std::exception& e) {
            return refuse(e.what());
        } catch (...) {
            return refuse("an exception of no standard type");
        }
    }

private:
    static result<value> refuse(const std::string& why) { return tl::unexpected(error(errc::unserializable, why)); }
    result<value> end(const std::string& why) {
        over_ = true;
        return refuse("the range ended with an exception: " + why);
    }

    View range_;
    std::optional<std::ranges::iterator_t<View>> at_;
    bool over_ = false;
};

template <class Range>
std::unique_ptr<map_source> map_source_of(Range&& range) {
    return std::make_unique<range_source<std::views::all_t<Range>>>(std::views::all(std::forward<Range>(range)));
}

[[nodiscard]] SNAKEPIT_API std::shared_ptr<map_run> begin_map(std::shared_ptr<pool_impl> impl, std::string tool,
                                                              std::unique_ptr<map_source> items, map_options options);
SNAKEPIT_API void cancel_map(map_run& run) noexcept;
[[nodiscard]] SNAKEPIT_API const std::string& tool_of(const map_run& run) noexcept;
[[nodiscard]] SNAKEPIT_API asio::awaitable<std::optional<mapped<value>>> next_of(std::shared_ptr<map_run> run);

template <class T>
std::optional<mapped<T>> mapped_as(std::optional<mapped<value>> item, const map_run& run) {
    std::optional<mapped<T>> typed;
    if (item) typed.emplace(mapped<T>{item->index, reply_as<T>(std::move(item->outcome), tool_of(run))});
    return typed;
}
}  // namespace detail

/** The results of `pool::map`, one after another. Move-only; its destruction cancels the calls that are under way.

    @par Thread safety  one operation at a time, as for an iterator */
template <class T = value>
class [[nodiscard]] map_results {
public:
    explicit map_results(std::shared_ptr<detail::map_run> run) : run_(std::move(run)) {}
    ~map_results() {
        if (run_) detail::cancel_map(*run_);
    }
    map_results(map_results&& other) noexcept = default;
    map_results& operator=(map_results&& other) noexcept {
        std::swap(run_, other.run_);
        return *this;
    }
    map_results(const map_results&) = delete;
    map_results& operator=(const map_results&) = delete;

    /** The next result: of the next item when they are ordered, else of any that has ended.

        Begins calls for as many items as the window has room for, and waits while no result is there.

        @return  an item and what became of it; nothing at the end of the range, or when the map was cancelled
        @par Errors         per item: those of `pool::execute`, and errc::unserializable for an item that cannot become
                            a value. An exception of the range itself is the last item's, errc::unserializable with what
                            it says. With a T other than `value` errc::type_mismatch
        @par Cancellation   terminal and partial: the map is over, its calls are cancelled, and nothing is returned, now
                            and later
        @par Executor       may be awaited on any executor and resumes there; the range is read there, inside this
        @par Thread safety  one at a time
        @par Lifetime       holds the map's state */
    [[nodiscard]] asio::awaitable<std::optional<mapped<T>>> next() {
        if constexpr (std::is_same_v<T, value>) return detail::next_of(run_);
        else return next_as(run_);
    }

    /// For the token form in async.hpp.
    [[nodiscard]] const std::shared_ptr<detail::map_run>& run() const noexcept { return run_; }

private:
    static asio::awaitable<std::optional<mapped<T>>> next_as(std::shared_ptr<detail::map_run> run) {
        auto item = co_await detail::next_of(run);
        co_return detail::mapped_as<T>(std::move(item), *run);
    }

    std::shared_ptr<detail::map_run> run_;
};

}  // namespace snakepit
