variable "name" {
  description = "Name of the role and of the instance profile."
  type        = string
}

variable "runs_on" {
  description = "Where the agent runs: \"ec2\", \"ecs\", \"eks-pod-identity\"; several are possible. For IRSA leave it empty and set irsa."
  type        = set(string)
  default     = ["ec2"]

  validation {
    condition     = length(setsubtract(var.runs_on, ["ec2", "ecs", "eks-pod-identity"])) == 0
    error_message = "runs_on knows ec2, ecs and eks-pod-identity."
  }
}

variable "irsa" {
  description = "Service account of an EKS cluster that may take the role: the cluster's OIDC provider, its issuer without https://, namespace and account."
  type = object({
    provider_arn    = string
    issuer          = string
    namespace       = string
    service_account = string
  })
  default = null

  validation {
    condition     = var.irsa == null ? true : !startswith(var.irsa.issuer, "https://")
    error_message = "Give the issuer without https://."
  }
}

variable "permissions_boundary" {
  description = "ARN of a permissions boundary of the role."
  type        = string
  default     = null
}

variable "vault_policy_name" {
  description = "Name of the IAM policy for Vault's own identity. Null: none is made; once for an account is enough."
  type        = string
  default     = null
}

variable "account_roles" {
  description = "ARNs of roles in other accounts that Vault may assume to look there."
  type        = list(string)
  default     = []
}

variable "vault_has_access_key" {
  description = "Whether Vault's identity is a user with an access key that Vault is to rotate."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of all that is made."
  type        = map(string)
  default     = {}
}
