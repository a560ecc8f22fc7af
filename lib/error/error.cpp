#include <snakepit/error.hpp>

#include <fmt/format.h>
#include <cstring>
#include <ostream>

namespace snakepit {
namespace {

const char* describe(errc e) {
    switch (e) {
        case errc::queue_full: return "queue full";
        case errc::deadline_exceeded: return "deadline exceeded";
        case errc::cancelled: return "cancelled";
        case errc::worker_lost: return "worker lost";
        case errc::pool_stopped: return "pool stopped";
        case errc::not_started: return "pool not started";
        case errc::already_started: return "pool already started";
        case errc::pool_degraded: return "pool degraded";
        case errc::poison_call: return "poison call";
        case errc::tool_degraded: return "tool degraded";
        case errc::pool_draining: return "pool draining";
        case errc::listen_failed: return "cannot listen";
        case errc::unknown_tool: return "unknown tool";
        case errc::bad_arguments: return "bad arguments";
        case errc::tool_raised: return "tool raised";
        case errc::unserializable: return "value cannot travel";
        case errc::message_too_large: return "message too large";
        case errc::type_mismatch: return "type mismatch";
        case errc::invalid_options: return "invalid options";
        case errc::python_unfit: return "no fitting Python";
        case errc::module_failed: return "module failed";
        case errc::start_timeout: return "start timed out";
        case errc::launch_failed: return "launch failed";
        case errc::socket_directory: return "socket directory";
        case errc::protocol_mismatch: return "protocol mismatch";
        case errc::protocol_violation: return "protocol violation";
        case errc::forked: return "forked";
        case errc::session_closed: return "session closed";
        case errc::version_conflict: return "version conflict";
        case errc::invalid_name: return "invalid name";
        case errc::too_many_sessions: return "too many sessions";
        case errc::too_many_variables: return "too many variables";
        case errc::value_too_large: return "value too large";
        case errc::session_too_large: return "session too large";
        case errc::backend_failed: return "session backend failed";
        case errc::host_tool_failed: return "host tool failed";
        case errc::would_deadlock: return "would deadlock";
        case errc::stream_ended: return "stream ended";
        case errc::session_busy: return "session busy";
        case errc::session_moved: return "session moved";
    }
    return "unknown error";
}

class errc_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "snakepit"; }
    std::string message(int code) const override { return describe(static_cast<errc>(code)); }
};

class failure_category_impl final : public std::error_category {
public:
    const char* name() const noexcept override { return "snakepit.failure"; }
    std::string message(int code) const override {
        switch (static_cast<failure>(code)) {
            case failure::retry_elsewhere: return "a later or other attempt may succeed";
            case failure::caller_gave_up: return "the caller gave up";
            case failure::permanent: return "the same again fails the same way";
        }
        return "unknown failure";
    }
    bool equivalent(const std::error_code& code, int condition) const noexcept override {
        return code.category() == snakepit::error_category() &&
               kind_of(static_cast<errc>(code.value())) == static_cast<failure>(condition);
    }

private:
    static failure kind_of(errc e) noexcept {
        switch (e) {
            case errc::queue_full:
            case errc::worker_lost:
            case errc::pool_degraded:
            case errc::tool_degraded:
            case errc::pool_draining:
            case errc::start_timeout:
            case errc::launch_failed:
            case errc::version_conflict:
            case errc::backend_failed:
            case errc::would_deadlock:
            case errc::session_busy:
            case errc::session_moved:
            case errc::too_many_sessions: return failure::retry_elsewhere;
            case errc::deadline_exceeded:
            case errc::cancelled: return failure::caller_gave_up;
            default: return failure::permanent;
        }
    }
};

const std::string no_text;

}  // namespace

const std::error_category& error_category() noexcept {
    static const errc_category category;
    return category;
}

const std::error_category& failure_category() noexcept {
    static const failure_category_impl category;
    return category;
}

std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), error_category()}; }
std::error_condition make_error_condition(failure f) noexcept { return {static_cast<int>(f), failure_category()}; }

std::string worker_exit::describe() const {
    if (signal != 0) {
        const char* name = ::sigabbrev_np(signal);
        auto words = name ? fmt::format("signal {} (SIG{})", signal, name) : fmt::format("signal {}", signal);
        return out_of_memory.empty() ? words : words + "; " + out_of_memory;
    }
    return code >= 0 ? fmt::format("exit code {}", code) : "unknown";
}

struct error::detail {
    std::string message;
    std::string tool;
    std::string worker;
    std::shared_ptr<const python_error> python;
    std::shared_ptr<const worker_exit> exit;
    std::chrono::milliseconds retry_after{};
};

error::error(errc code, std::string message)
    : code_(make_error_code(code)), detail_(std::make_shared<detail>(detail{std::move(message), {}, {}, {}, {}, {}})) {}

const std::string& error::message() const noexcept { return detail_ ? detail_->message : no_text; }
const std::string& error::tool() const noexcept { return detail_ ? detail_->tool : no_text; }
const std::string& error::worker() const noexcept { return detail_ ? detail_->worker : no_text; }
const python_error* error::python() const noexcept { return detail_ ? detail_->python.get() : nullptr; }
const worker_exit* error::exit() const noexcept { return detail_ ? detail_->exit.get() : nullptr; }
std::chrono::milliseconds error::retry_after() const noexcept {
    return detail_ ? detail_->retry_after : std::chrono::milliseconds(0);
}

template <class F>
error error::changed(F f) const {
    auto copy = std::make_shared<detail>(detail_ ? *detail_ : detail{});
    f(*copy);
    error e = *this;
    e.detail_ = std::move(copy);
    return e;
}

error error::with_tool(std::string name) const {
    return changed([&](detail& d) { d.tool = std::move(name); });
}
error error::with_worker(std::string id) const {
    return changed([&](detail& d) { d.worker = std::move(id); });
}
error error::with_python(python_error what) const {
    return changed([&](detail& d) { d.python = std::make_shared<const python_error>(std::move(what)); });
}
error error::with_exit(worker_exit how) const {
    return changed([&](detail& d) { d.exit = std::make_shared<const worker_exit>(std::move(how)); });
}

error error::with_retry_after(std::chrono::milliseconds when) const {
    return changed([&](detail& d) { d.retry_after = when; });
}

std::string error::summary() const {
    std::string line = code_.message();
    if (!tool().empty()) line += fmt::format(" [tool {}]", tool());
    if (!worker().empty()) line += fmt::format(" [worker {}]", worker());
    if (!message().empty()) line += ": " + message();
    return line;
}

std::string error::full() const {
    std::string text = summary();
    if (const auto* p = python(); p && !p->traceback.empty()) text += "\n" + p->traceback;
    const auto trim = [&] {
        while (!text.empty() && text.back() == '\n') text.pop_back();
    };
    if (const auto* x = exit()) {
        trim();
        if (!x->python_stack.empty()) text += "\nPython stack of the worker:\n" + x->python_stack;
        trim();
        if (!x->output_tail.empty()) text += "\nlast output of the worker:\n" + x->output_tail;
    }
    trim();
    return text;
}

std::ostream& operator<<(std::ostream& to, const error& e) { return to << e.full(); }

}  // namespace snakepit
