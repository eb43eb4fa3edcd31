// SPDX-License-Identifier: Apache-2.0
// foldpass: name resolution + constant folding over an expression tree.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace ast {

struct Node;
using Ptr = std::unique_ptr<Node>;

struct Literal {
    std::int64_t value;
};
struct Name {
    std::string id;
    std::uint32_t atom;
};
struct Binary {
    char op;
    Ptr lhs, rhs;
};
struct Block {
    std::string scope;
    std::vector<std::uint32_t> declared;
    std::vector<Ptr> body;
};
struct Node {
    std::variant<Literal, Name, Binary, Block> v;
};

class Atoms {
public:
    std::uint32_t intern(const std::string& s) {
        auto [it, fresh] = ids_.try_emplace(s, (std::uint32_t)names_.size());
        if (fresh) names_.push_back(s);
        return it->second;
    }
    const std::string& text(std::uint32_t a) const { return names_[a]; }
    std::size_t size() const { return names_.size(); }

private:
    std::unordered_map<std::string, std::uint32_t> ids_;
    std::vector<std::string> names_;
};

class Builder {
public:
    explicit Builder(Atoms& a) : atoms_(a) {}
    Ptr block(int depth) {
        Block b;
        b.scope = "scope_" + std::to_string(serial_++);
        for (int i = 0; i < 6; ++i) b.declared.push_back(atoms_.intern("variable_" + std::to_string(rnd() % 64)));
        for (int i = 0; i < 12; ++i) b.body.push_back(expr(4));
        if (depth > 0)
            for (int i = 0; i < 3; ++i) b.body.push_back(block(depth - 1));
        return std::make_unique<Node>(Node{std::move(b)});
    }

private:
    Ptr expr(int depth) {
        if (depth == 0 || rnd() % 5 == 0) {
            if (rnd() % 3 == 0) return std::make_unique<Node>(Node{Literal{(std::int64_t)(rnd() % 100)}});
            std::string id = "variable_" + std::to_string(rnd() % 64);
            std::uint32_t a = atoms_.intern(id);
            return std::make_unique<Node>(Node{Name{std::move(id), a}});
        }
        static const char ops[] = "+-*^";
        char op = ops[rnd() % 4];
        Ptr l = expr(depth - 1), r = expr(depth - 1);
        return std::make_unique<Node>(Node{Binary{op, std::move(l), std::move(r)}});
    }
    std::uint32_t rnd() {
        x_ ^= x_ << 13;
        x_ ^= x_ >> 17;
        x_ ^= x_ << 5;
        return x_;
    }
    Atoms& atoms_;
    std::uint32_t x_ = 2463534242u;
    int serial_ = 0;
};

}  // namespace ast

namespace pass {

class Resolver {
public:
    virtual ~Resolver() = default;
    virtual void enter(const ast::Block& b) = 0;
    virtual void leave(const ast::Block& b) = 0;
    virtual std::int64_t value_of(const ast::Name& n) const = 0;
};

// Keeps all symbols in one table under their full path.
class PathResolver : public Resolver {
public:
    explicit PathResolver(const ast::Atoms& a) : atoms_(a) {}
    void enter(const ast::Block& b) override {
        path_.push_back(b.scope);
        for (auto a : b.declared) table_[qualify(path_.size(), atoms_.text(a))] = (std::int64_t)(path_.size() * 100 + a);
    }
    void leave(const ast::Block& b) override {
        for (auto a : b.declared) table_.erase(qualify(path_.size(), atoms_.text(a)));
        path_.pop_back();
    }
    std::int64_t value_of(const ast::Name& n) const override {
        for (std::size_t d = path_.size(); d > 0; --d) {
            auto it = table_.find(qualify(d, n.id));
            if (it != table_.end()) return it->second;
        }
        return 1;
    }

private:
    std::string qualify(std::size_t depth, const std::string& id) const {
        std::string q;
        for (std::size_t i = 0; i < depth; ++i) q = q + path_[i] + "::";
        return q + id;
    }
    const ast::Atoms& atoms_;
    std::vector<std::string> path_;
    std::map<std::string, std::int64_t> table_;
};

class AtomResolver : public Resolver {
public:
    explicit AtomResolver(const ast::Atoms& a) : stacks_(a.size()) {}
    void enter(const ast::Block& b) override {
        ++depth_;
        for (auto a : b.declared) stacks_[a].push_back((std::int64_t)(depth_ * 100 + a));
    }
    void leave(const ast::Block& b) override {
        for (auto a : b.declared) stacks_[a].pop_back();
        --depth_;
    }
    std::int64_t value_of(const ast::Name& n) const override {
        auto& s = stacks_[n.atom];
        return s.empty() ? 1 : s.back();
    }

private:
    std::size_t depth_ = 0;
    std::vector<std::vector<std::int64_t>> stacks_;
};

class Folder {
public:
    explicit Folder(Resolver& r) : res_(r) {}
    std::int64_t fold(const ast::Node& n) {
        if (auto* l = std::get_if<ast::Literal>(&n.v)) return l->value;
        if (auto* v = std::get_if<ast::Name>(&n.v)) return res_.value_of(*v);
        if (auto* b = std::get_if<ast::Binary>(&n.v)) {
            std::uint64_t x = fold(*b->lhs), y = fold(*b->rhs);
            switch (b->op) {
                case '+': return x + y;
                case '-': return x - y;
                case '*': return x * y;
                default: return x ^ y;
            }
        }
        auto& blk = std::get<ast::Block>(n.v);
        res_.enter(blk);
        std::uint64_t h = 7;
        for (auto& c : blk.body) h = h * 31 + fold(*c);
        res_.leave(blk);
        return h;
    }

private:
    Resolver& res_;
};

}  // namespace pass

int main(int argc, char** argv) {
    bool fixed = argc > 1 && !std::strcmp(argv[1], "fixed");
    auto t0 = std::chrono::steady_clock::now();
    ast::Atoms atoms;
    ast::Ptr root = ast::Builder(atoms).block(6);
    std::unique_ptr<pass::Resolver> r;
    if (fixed) r = std::make_unique<pass::AtomResolver>(atoms);
    else r = std::make_unique<pass::PathResolver>(atoms);
    std::uint64_t h = 0;
    for (int round = 0; round < 50; ++round) h = h * 3 + (std::uint64_t)pass::Folder(*r).fold(*root);
    double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - t0).count();
    std::printf("checksum=%llu seconds=%.3f\n", (unsigned long long)h, s);
    return 0;
}
