#include "process/start_failure.hpp"

#include "process/channels.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <utility>

namespace snakepit::detail {
namespace {

python_error python_error_of(const value& report) {
    python_error e;
    e.type = text_of(report, "type");
    e.message = text_of(report, "message");
    e.traceback = text_of(report, "traceback");
    return e;
}

}  // namespace

worker_exit exit_of(const std::optional<int>& wait_status, std::string output, std::string python_stack) {
    worker_exit x;
    if (wait_status && WIFEXITED(*wait_status)) x.code = WEXITSTATUS(*wait_status);
    if (wait_status && WIFSIGNALED(*wait_status)) x.signal = WTERMSIG(*wait_status);
    x.output_tail = std::move(output);
    x.python_stack = std::move(python_stack);
    return x;
}

error start_failure(const std::string& module, const std::optional<value>& report, worker_exit how) {
    if (!report)
        return error(errc::module_failed,
                     fmt::format("the worker ended ({}) while it imported module {}", how.describe(), module))
            .with_exit(std::move(how));
    const auto stage = text_of(*report, "stage");
    auto raised = python_error_of(*report);
    if (stage == "options")
        return error(errc::invalid_options, fmt::format("module {}: {}", module, raised.message))
            .with_exit(std::move(how));
    const bool ours = stage == "grpc" || stage == "connect" || stage == "refused";
    auto what =
        ours ? fmt::format("the worker could not {}: {}", stage == "grpc" ? "load grpc" : "attach", raised.message)
             : fmt::format("module {} failed ({}): {}{}{}", module, stage, raised.type, raised.type.empty() ? "" : ": ",
                           raised.message);
    return error(ours ? errc::launch_failed : errc::module_failed, std::move(what))
        .with_python(std::move(raised))
        .with_exit(std::move(how));
}

error start_timeout(const std::string& missing, worker_exit how) {
    return error(errc::start_timeout, "the worker was given up: " + missing + "; its Python stack shows where it was")
        .with_exit(std::move(how));
}

std::string import_within(std::chrono::milliseconds limit, const std::string& module) {
    return fmt::format("it was not ready within {} ms, and was importing module {}, setting it up or warming it up",
                       limit.count(), module);
}

}  // namespace snakepit::detail
