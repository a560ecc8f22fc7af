#include "echo/unary.hpp"

#include "echo.grpc.pb.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <asio/associated_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/prefer.hpp>
#include <asio/use_awaitable.hpp>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>

extern char** environ;

namespace snakepit::perf {
namespace {

class echo_service final : public Echo::CallbackService {
    grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Payload* request,
                                   Payload* reply) override {
        reply->set_data(request->data());
        auto* reactor = context->DefaultReactor();
        reactor->Finish(grpc::Status::OK);
        return reactor;
    }
};

/// One caller: a call at a time until the time is over.
struct caller {
    Echo::Stub& stub;
    const std::string& payload;
    clock::time_point end;
    std::function<void()> finished;
    std::vector<float> latencies;
    std::size_t wrong = 0;

    struct one_call {
        grpc::ClientContext context;
        Payload request, reply;
        clock::time_point start;
    };
    std::unique_ptr<one_call> now;

    void next() {
        now = std::make_unique<one_call>();
        now->request.set_data(payload);
        now->start = clock::now();
        stub.async()->Echo(&now->context, &now->request, &now->reply, [this](const grpc::Status& s) {
            latencies.push_back(microseconds_since(now->start));
            if (!s.ok() || now->reply.data() != payload) ++wrong;
            if (clock::now() < end) next();
            else finished();
        });
    }
};

/// The reply, or nothing when the call failed.
asio::awaitable<std::string> echo(Echo::Stub& stub, const std::string& payload) {
    struct one_call {
        grpc::ClientContext context;
        Payload request, reply;
    };
    const auto call = std::make_shared<one_call>();
    call->request.set_data(payload);
    const bool ok = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(bool)>(
        [&stub](auto handler, const std::shared_ptr<one_call>& c) {
            auto home = asio::prefer(asio::get_associated_executor(handler), asio::execution::outstanding_work.tracked);
            auto held = std::make_shared<decltype(handler)>(std::move(handler));
            stub.async()->Echo(&c->context, &c->request, &c->reply, [home, held](const grpc::Status& s) {
                asio::post(home, [held, good = s.ok()] { std::move (*held)(good); });
            });
        },
        asio::use_awaitable, call);
    co_return ok ? std::move(*call->reply.mutable_data()) : std::string();
}

}  // namespace

server_process::server_process(const std::vector<std::string>& command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    std::vector<char*> argv;
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_adddup2(&files, ends[0], 0);
    if (::posix_spawnp(&pid_, argv[0], &files, nullptr, argv.data(), environ) != 0) {
        std::perror(argv[0]);
        std::exit(1);
    }
    ::posix_spawn_file_actions_destroy(&files);
    ::close(ends[0]);
    stdin_ = ends[1];
}

server_process::~server_process() {
    ::close(stdin_);
    ::waitpid(pid_, nullptr, 0);
}

void serve_unary(const std::string& socket) {
    echo_service service;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    const auto server = builder.BuildAndStart();
    while (std::getchar() != EOF) {
    }
    server->Shutdown(std::chrono::system_clock::now());
}

unary_client::unary_client(const std::string& socket)
    : channel_(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials())) {
    if (!channel_->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
        std::fprintf(stderr, "no server at %s\n", socket.c_str());
        std::exit(1);
    }
}

measured unary_client::run_on_grpc_threads(int callers, clock::duration stretch, const std::string& payload) {
    const auto stub = Echo::NewStub(channel_);
    std::mutex mutex;
    std::condition_variable changed;
    int running = callers;
    const auto start = clock::now();
    std::vector<caller> all;
    all.reserve(static_cast<std::size_t>(callers));
    for (int i = 0; i < callers; ++i)
        all.push_back({*stub,
                       payload,
                       start + stretch,
                       [&] {
                           const std::lock_guard lock(mutex);
                           if (--running == 0) changed.notify_one();
                       },
                       {},
                       0,
                       nullptr});
    for (auto& c : all) c.next();
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return running == 0; });
    const auto took = clock::now() - start;
    std::vector<float> latencies;
    std::size_t wrong = 0;
    for (const auto& c : all) {
        latencies.insert(latencies.end(), c.latencies.begin(), c.latencies.end());
        wrong += c.wrong;
    }
    return measured::of(std::move(latencies), wrong, took);
}

measured unary_client::run(int callers, clock::duration stretch, const std::string& payload) {
    const auto stub = Echo::NewStub(channel_);
    asio::io_context io(1);
    std::vector<float> latencies;
    latencies.reserve(1 << 18);
    std::size_t wrong = 0;
    const auto start = clock::now();
    for (int i = 0; i < callers; ++i)
        asio::co_spawn(
            io,
            [&]() -> asio::awaitable<void> {
                do {
                    const auto began = clock::now();
                    const auto reply = co_await echo(*stub, payload);
                    latencies.push_back(microseconds_since(began));
                    if (reply != payload) ++wrong;
                } while (clock::now() < start + stretch);
            },
            asio::detached);
    io.run();
    return measured::of(std::move(latencies), wrong, clock::now() - start);
}

}  // namespace snakepit::perf
