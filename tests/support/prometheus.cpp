#include "support/prometheus.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>

#include <array>
#include <cctype>
#include <cstdlib>
#include <iterator>
#include <sstream>

namespace snakepit::test {
namespace {

using asio::ip::tcp;

int free_port() {
    asio::io_context context;
    return tcp::acceptor(context, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char ch : text)
        out += std::isalnum(static_cast<unsigned char>(ch)) ? std::string(1, ch)
                                                            : fmt::format("%{:02X}", static_cast<unsigned char>(ch));
    return out;
}

}  // namespace

http_answer http_send(const std::string& host, int port, const std::string& request) {
    tcp::iostream stream;
    stream.expires_after(10s);
    stream.connect(host, std::to_string(port));
    stream << request << std::flush;
    const std::string all{std::istreambuf_iterator<char>(stream), {}};
    http_answer a;
    const auto head = all.find("\r\n\r\n");
    if (head == all.npos || !all.starts_with("HTTP/1.")) return a;
    a.status = std::atoi(all.c_str() + sizeof "HTTP/1.1");
    a.headers = all.substr(0, head);
    a.body = all.substr(head + 4);
    return a;
}

http_answer http_get(int port, const std::string& path) {
    return http_send("127.0.0.1", port, fmt::format("GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", path));
}

bool has_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream directories(path ? path : "/usr/bin");
    for (std::string d; std::getline(directories, d, ':');)
        if (::access((d + '/' + name).c_str(), X_OK) == 0) return true;
    return false;
}

prometheus_server::prometheus_server(int scraped_port) {
    for (int i = 0; i < 3; ++i)  // somebody else may be faster with a free port
        if (start(scraped_port)) return;
}

prometheus_server::~prometheus_server() { end(); }

bool prometheus_server::start(int scraped_port) {
    port_ = free_port();
    const auto config = directory_.write("prometheus.yml", fmt::format(R"(global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
scrape_configs:
  - job_name: snakepit
    static_configs:
      - targets: ["127.0.0.1:{}"]
)",
                                                                       scraped_port));
    std::array<std::string, 5> arguments{"prometheus", "--config.file=" + config.string(),
                                         "--storage.tsdb.path=" + (directory_.path() / "data").string(),
                                         fmt::format("--web.listen-address=127.0.0.1:{}", port_), "--log.level=warn"};
    std::array<char*, 6> argv{};
    for (std::size_t i = 0; i < arguments.size(); ++i) argv[i] = arguments[i].data();
    const auto log_file = (directory_.path() / "log").string();
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addopen(&files, 1, log_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::posix_spawn_file_actions_adddup2(&files, 1, 2);
    const int failed = ::posix_spawnp(&pid_, "prometheus", &files, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    if (failed != 0) pid_ = 0;
    if (pid_ == 0) return false;
    const bool is_ready = eventually(
        [&] {
            if (::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = 0;
            return pid_ == 0 || http_get(port_, "/-/ready").status == 200;
        },
        30s * slow);
    if (!is_ready) end();
    return pid_ > 0;
}

void prometheus_server::end() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGTERM);
    if (!eventually([&] { return ::waitpid(pid_, nullptr, WNOHANG) == pid_; }, 10s * slow)) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    pid_ = 0;
}

std::string prometheus_server::log() const { return file_text(directory_.path() / "log"); }

std::optional<double> prometheus_server::ask(const std::string& query) const {
    const auto answer = http_get(port_, "/api/v1/query?query=" + escaped(query));
    const auto json = nlohmann::json::parse(answer.body, nullptr, false);
    if (answer.status != 200 || json.is_discarded()) return std::nullopt;
    const auto& found = json["data"]["result"];
    if (found.empty()) return std::nullopt;
    return std::strtod(found[0]["value"][1].get<std::string>().c_str(), nullptr);
}

}  // namespace snakepit::test
