// SPDX-License-Identifier: Apache-2.0
// Locks as rows of the report.
#include <algorithm>

#include "analyzers/model/own_frame.h"
#include "analyzers/summary.h"

namespace tailback::analyzers {

namespace {

constexpr std::size_t kMostRows = 300, kMostShares = 5;

std::vector<LockShare> shares_of(const Model& model, const std::vector<LockPlace>& places) {
  std::vector<LockShare> shares;
  for (const LockPlace& place : places) {
    if (shares.size() == kMostShares) break;
    if (place.stack) shares.push_back({own_frame(model, place.stack), place.seconds, place.count});
  }
  return shares;
}

LockRow row_of(const Model& model, const Lock& lock) {
  LockRow row;
  row.kind = kind_of_lock(lock.kind);
  row.name = model.symbols->data_symbol(lock.address);
  row.address = lock.address;
  row.wait_seconds = lock.wait_seconds, row.waits = lock.waits, row.longest_wait_seconds = lock.longest_wait;
  row.waiting_threads = lock.wait_by_thread.size();
  row.held_up_seconds = lock.held_up_seconds;
  row.acquisitions = lock.acquisitions, row.held_seconds = lock.held_seconds;
  if (lock.holds.total()) row.hold_p50_seconds = lock.holds.duration_quantile(0.50) * 1e-9, row.hold_p99_seconds = lock.holds.duration_quantile(0.99) * 1e-9;
  row.cpu_inside_seconds = lock.cpu_inside, row.blocked_inside_seconds = lock.blocked_inside;
  row.holders = shares_of(model, lock.holders.empty() ? lock.users : lock.holders);
  row.waiters = shares_of(model, lock.waiters);
  return row;
}

}  // namespace

std::vector<LockRow> lock_rows(const Model& model) {
  std::vector<LockRow> rows;
  for (const Lock& lock : model.locks.all) {
    if (rows.size() == kMostRows) break;
    rows.push_back(row_of(model, lock));
  }
  return rows;
}

}  // namespace tailback::analyzers
