#pragma once
/* Who sent a request, and what that allows: a token of the configuration, or a peer of the local
 * socket that is root, this daemon's user or a member of its group. */

#include "model/scope.h"

struct http_request;

/** The scopes of the request's caller: bits of enum scope; 0: unknown to us. */
unsigned int http_caller_scopes(struct http_request *request);
