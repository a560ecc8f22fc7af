#include "cli/common.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/this_coro.hpp>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace snakepit::cli {
namespace {
using namespace std::chrono_literals;

std::chrono::nanoseconds from_seconds(double seconds) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

/// Hears signals while a pool is at work.
class interrupts {
public:
    explicit interrupts(asio::io_context& io) : io_(io), signals_(io, SIGINT, SIGTERM) { listen(); }

    [[nodiscard]] asio::cancellation_slot slot() { return stop_.slot(); }
    [[nodiscard]] int number() const noexcept { return number_; }
    void done() { signals_.cancel(); }

private:
    void listen() {
        signals_.async_wait([this](const asio::error_code& over, int number) {
            if (over) return;
            if (number_ != 0) return io_.stop();  // the pool's destructor kills what is left
            number_ = number;
            stop_.emit(asio::cancellation_type::terminal);
            listen();
        });
    }

    asio::io_context& io_;
    asio::signal_set signals_;
    asio::cancellation_signal stop_;
    int number_ = 0;
};

asio::awaitable<int> session(pool& workers, const std::function<asio::awaitable<int>(pool&)>& body,
                             const std::function<void(const error&)>& not_started) {
    co_await asio::this_coro::throw_if_cancelled(false);
    auto up = co_await workers.start();
    int code = exit_usage;
    // A signal after the start has ended but before it returns here would find nothing to cancel in `body`.
    const bool signalled = (co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none;
    std::exception_ptr thrown;
    if (up && !signalled) {
        try {
            code = co_await body(workers);
        } catch (...) {
            thrown = std::current_exception();
        }
    } else if (!up && up.error().code() != errc::cancelled) {
        not_started(up.error());
    }
    // A cancellation that came before is forgotten: the end is awaited whatever happened.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await workers.stop();
    if (thrown) std::rethrow_exception(thrown);
    co_return code;
}

}  // namespace

CLI::Validator seconds_between(double least, double most) {
    return {
        [least, most](const std::string& text) -> std::string {
            double number = 0;
            if (CLI::detail::lexical_cast(text, number) && std::isfinite(number) && number >= least && number <= most)
                return {};
            return fmt::format("{} is not a number of seconds from {} to {}", text, least, most);
        },
        ""};
}

void add_pool_options(CLI::App& to, common_options& into) {
    to.add_option("--python", into.python, "the Python that runs the tools; default: the first one that can")
        ->type_name("PROGRAM");
    to.add_option("--path", into.path,
                  "a directory where Python looks for modules first; may be given several times; "
                  "default: the current directory")
        ->type_name("DIR")
        ->allow_extra_args(false)
        ->check(CLI::ExistingDirectory);
    to.add_option("--start-timeout", into.start_timeout, "longest time until a worker is ready, its imports included")
        ->type_name("SECONDS")
        ->check(seconds_between(0.1, 3600))
        ->capture_default_str();
}

void add_timeout_option(CLI::App& to, common_options& into, const std::string& of_what) {
    constexpr double ten_years = 3.2e8;
    to.add_option("--timeout", into.timeout, "longest time for " + of_what + "; 0: no limit")
        ->type_name("SECONDS")
        ->check(seconds_between(0, ten_years))
        ->capture_default_str();
}

bool parse_tool_name(const std::string& text, tool_name& into) {
    const auto colon = text.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == text.size()) {
        complain(fmt::format("'{}' is not MODULE:TOOL, such as text_tools:count_words", text));
        return false;
    }
    into = {text.substr(0, colon), text.substr(colon + 1)};
    return true;
}

pool_options make_pool_options(const common_options& common, std::string module, int workers) {
    pool_options o;
    o.module = std::move(module);
    o.python = common.python;
    for (const auto& dir : common.path) o.python_path.push_back(std::filesystem::absolute(dir).string());
    o.workers = {.min = workers, .max = 0};
    o.start_timeout = std::chrono::ceil<std::chrono::milliseconds>(from_seconds(common.start_timeout));
    // What still runs at the end is not wanted any more.
    o.drain_timeout = 0ms;
    o.stop_grace = 500ms;
    o.output = worker_output::forward;
    return o;
}

pool_options make_brief_pool_options(const common_options& common, std::string module) {
    auto o = make_pool_options(common, std::move(module), 1);
    o.admin_socket = false;
    return o;
}

call_options make_call_options(const common_options& common) {
    call_options o;
    // A limit of less than a nanosecond is one all the same.
    if (common.timeout > 0) o.timeout(std::max(1ns, from_seconds(common.timeout)));
    else o.timeout(call_options::no_timeout);
    return o;
}

int with_pool(pool_options options, const std::function<asio::awaitable<int>(pool&)>& body,
              const std::function<void(const error&)>& not_started) {
    int code = exit_failed;
    std::exception_ptr thrown;
    asio::io_context io(1);
    interrupts signals(io);
    pool workers(io.get_executor(), std::move(options));
    asio::co_spawn(io, session(workers, body, not_started),
                   asio::bind_cancellation_slot(signals.slot(), [&](std::exception_ptr failed, int returned) {
                       thrown = failed;
                       code = returned;
                       signals.done();
                   }));
    io.run();
    if (thrown) std::rethrow_exception(thrown);
    return signals.number() != 0 ? exit_signalled + signals.number() : code;
}

void tell(std::string_view text) { (void)std::fwrite(text.data(), 1, text.size(), stderr); }

void complain(std::string_view text) { tell(fmt::format("snakepit: {}\n", text)); }

void complain_of(const error& why) {
    complain(why.full());
    if (why == errc::python_unfit) complain("`snakepit doctor` tells more; --python names another one");
}

int print_line(std::string_view text) {
    errno = 0;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fputc('\n', stdout);
    return std::fflush(stdout) == 0 && !std::ferror(stdout) ? static_cast<int>(exit_ok) : output_failed(errno);
}

int output_failed(int error_number) {
    if (error_number == EPIPE) {
        complain("stopped: nobody reads the output any more");
        return exit_signalled + SIGPIPE;
    }
    complain(fmt::format("cannot write the output: {}", std::strerror(error_number)));
    return exit_failed;
}

std::string grouped(std::uint64_t n) {
    const auto digits = std::to_string(n);
    std::string text;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
        text += digits[i];
    }
    return text;
}

}  // namespace snakepit::cli
