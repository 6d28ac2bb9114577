# The interface of InfraHouse's ECS module as far as we use it: names and types of its variables and
# outputs (variables.tf after version 8.4.0, read 2026-11-22). `terraform validate` holds our call
# against it without the provider, which cannot be had offline.
variable "service_name" { type = string }
variable "environment" { type = string }
variable "docker_image" { type = string }
variable "tags" { type = map(string) }
variable "asg_subnets" { type = list(string) }
variable "load_balancer_subnets" { type = list(string) }
variable "alb_ingress_cidr_blocks" { type = list(string) }
variable "zone_id" { type = string }
variable "dns_names" { type = list(string) }
variable "replication_region" { type = string }
variable "idle_timeout" { type = number }

variable "load_balancing_algorithm_type" {
  type = string

  validation {
    condition     = contains(["round_robin", "least_outstanding_requests"], var.load_balancing_algorithm_type)
    error_message = "One of the two."
  }
}

variable "asg_instance_type" { type = string }

variable "asg_min_size" {
  type = number

  validation {
    condition     = var.asg_min_size >= 1 && var.asg_min_size <= 1000
    error_message = "From 1 to 1000."
  }
}

variable "asg_max_size" {
  type = number

  validation {
    condition     = var.asg_max_size >= 1 && var.asg_max_size <= 1000
    error_message = "From 1 to 1000."
  }
}

variable "asg_health_check_grace_period" { type = number }
variable "root_volume_size" { type = number }
variable "gpu_count" { type = number }

variable "on_demand_base_capacity" {
  type    = number
  default = null
}

variable "cloudinit_extra_commands" { type = list(string) }
variable "task_desired_count" { type = number }

variable "task_min_count" {
  type = number

  validation {
    condition     = var.task_min_count >= 1
    error_message = "At least 1."
  }
}

variable "task_max_count" { type = number }
variable "container_port" { type = number }
variable "container_cpu" { type = number }
variable "container_memory" { type = number }
variable "container_command" { type = list(string) }

variable "task_environment_variables" {
  type = list(object({ name : string, value : string }))
}

variable "task_secrets" {
  type = list(object({ name : string, valueFrom : string }))
}

variable "task_local_volumes" {
  type = map(object({ host_path : string, container_path : string }))
}

variable "task_role_arn" { type = string }
variable "execution_extra_policy" { type = map(string) }
variable "dockerSecurityOptions" { type = list(string) }

variable "task_ipc_mode" {
  type    = string
  default = null
}

variable "service_health_check_grace_period_seconds" { type = number }
variable "healthcheck_path" { type = string }
variable "healthcheck_interval" { type = number }
variable "healthcheck_timeout" { type = number }
variable "container_healthcheck_command" { type = string }
variable "enable_deployment_circuit_breaker" { type = bool }

variable "deployment_minimum_healthy_percent" {
  type = number

  validation {
    condition     = var.deployment_minimum_healthy_percent >= 0 && var.deployment_minimum_healthy_percent <= 100
    error_message = "From 0 to 100."
  }
}

variable "deployment_maximum_percent" {
  type = number

  validation {
    condition     = var.deployment_maximum_percent >= 100 && var.deployment_maximum_percent <= 400
    error_message = "From 100 to 400."
  }
}

variable "gpu_autoscaling_target" {
  type    = number
  default = 60

  validation {
    condition     = var.gpu_autoscaling_target >= 1 && var.gpu_autoscaling_target <= 100
    error_message = "From 1 to 100."
  }
}

variable "autoscaling_metric" {
  type    = string
  default = "ECSServiceAverageCPUUtilization"
}

variable "autoscaling_target" {
  type    = number
  default = null
}

variable "alarm_emails" { type = list(string) }
variable "enable_cloudwatch_logs" { type = bool }
variable "cloudwatch_log_group_retention" { type = number }
variable "enable_container_insights" { type = bool }

variable "sns_topic_arn" {
  type    = string
  default = null
}

output "dns_hostnames" { value = [] }
output "cluster_name" { value = "" }
output "cloudwatch_log_group_name" { value = "" }
output "asg_name" { value = "" }
